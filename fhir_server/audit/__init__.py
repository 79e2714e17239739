"""The audit trail: who did what to whose record, journalled before the answer leaves, then folded into AuditEvents."""
