"""MatchMiner's Clinical Trial Markup Language as ResearchStudy and Groups, and back. See docs/ctml.md"""
