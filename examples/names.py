"""Common given and family names of many cultures, with the languages and US Core race and ethnicity they are drawn for.

Every list mixes freely; nobody is meant. https://hl7.org/fhir/us/core/StructureDefinition-us-core-race.html
"""

from typing import NamedTuple


class Culture(NamedTuple):
    """Names of one culture; `races` are OMB category codes, `languages` BCP 47 codes by falling frequency."""

    weight: int
    female: tuple[str, ...]
    male: tuple[str, ...]
    family: tuple[str, ...]
    races: tuple[str, ...]
    hispanic: bool
    languages: tuple[str, ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WHITE, BLACK, ASIAN, NATIVE, PACIFIC, OTHER = "2106-3", "2054-5", "2028-9", "1002-5", "2076-8", "2131-1"

RACES = {
    WHITE: "White",
    BLACK: "Black or African American",
    ASIAN: "Asian",
    NATIVE: "American Indian or Alaska Native",
    PACIFIC: "Native Hawaiian or Other Pacific Islander",
    OTHER: "Other Race",
}

LANGUAGES = {
    "en": "English",
    "es": "Spanish",
    "zh": "Chinese",
    "vi": "Vietnamese",
    "ar": "Arabic",
    "hi": "Hindi",
    "ko": "Korean",
    "tl": "Tagalog",
    "so": "Somali",
    "pt": "Portuguese",
    "pl": "Polish",
    "ru": "Russian",
    "nv": "Navajo",
    "sm": "Samoan",
    "am": "Amharic",
}

CULTURES = (
    Culture(
        26,
        _names("Emma Grace Hannah Margaret Nora Ruth Susan Claire"),
        _names("Daniel Edward George Henry Luke Owen Peter Thomas"),
        _names("Baker Carter Fisher Hughes Miller Parker Turner Walsh"),
        (WHITE,),
        False,
        ("en",),
    ),
    Culture(
        18,
        _names("Aaliyah Denise Imani Keisha Latoya Monique Renee Tamika"),
        _names("Andre Darnell Isaiah Jamal Malik Marcus Terrence Tyrone"),
        _names("Banks Coleman Freeman Gaines Jefferson Mosley Robinson Washington"),
        (BLACK,),
        False,
        ("en",),
    ),
    Culture(
        14,
        _names("Ana Carmen Guadalupe Isabel Lucía María Rosa Ximena"),
        _names("Alejandro Carlos Diego Javier José Luis Mateo Santiago"),
        _names("Castillo Flores García Hernández López Morales Ramírez Vargas"),
        (WHITE, OTHER, NATIVE),
        True,
        ("es", "en"),
    ),
    Culture(
        4,
        _names("Altagracia Dolores Juana Marisol Yesenia"),
        _names("Félix Julio Rafael Ramón Wilfredo"),
        _names("Báez Cruz Peña Rosario Santana"),
        (BLACK, OTHER),
        True,
        ("es", "en"),
    ),
    Culture(
        6,
        _names("Fang Jing Lan Mei Xiu Ying"),
        _names("Bo Hao Jun Lei Ming Wei"),
        _names("Chen Huang Li Liu Wang Zhang"),
        (ASIAN,),
        False,
        ("zh", "en"),
    ),
    Culture(
        5,
        _names("Anjali Deepa Kavya Lakshmi Priya Sunita"),
        _names("Arjun Kiran Rahul Sanjay Suresh Vikram"),
        _names("Gupta Iyer Nair Patel Reddy Sharma"),
        (ASIAN,),
        False,
        ("en", "hi"),
    ),
    Culture(
        4,
        _names("Hoa Linh Mai Thu Trang"),
        _names("Duc Hung Minh Quang Tuan"),
        _names("Bui Dang Le Nguyen Tran"),
        (ASIAN,),
        False,
        ("vi", "en"),
    ),
    Culture(
        3,
        _names("Hye-jin Ji-woo Min-seo Soo-ah"),
        _names("Dong-hyun Jae-won Min-jun Sung-ho"),
        _names("Choi Kim Lee Park"),
        (ASIAN,),
        False,
        ("ko", "en"),
    ),
    Culture(
        3,
        _names("Corazon Divina Jasmine Marites"),
        _names("Danilo Ernesto Jomar Rodel"),
        _names("Bautista Dela-Cruz Reyes Santos"),
        (ASIAN,),
        False,
        ("tl", "en"),
    ),
    Culture(
        4,
        _names("Amira Fatima Layla Mariam Samira"),
        _names("Ahmad Hassan Karim Omar Yusuf"),
        _names("Al-Masri Haddad Khalil Mansour Nasser"),
        (WHITE,),
        False,
        ("ar", "en"),
    ),
    Culture(
        4,
        _names("Abeba Ayaan Hodan Selam Zahra"),
        _names("Abdi Dawit Mohamed Tesfaye Warsame"),
        _names("Abebe Ali Farah Jama Tadesse"),
        (BLACK,),
        False,
        ("so", "am", "en"),
    ),
    Culture(
        3,
        _names("Adaeze Amina Chidinma Folake"),
        _names("Chinedu Emeka Ibrahim Tunde"),
        _names("Adeyemi Eze Mensah Okafor"),
        (BLACK,),
        False,
        ("en",),
    ),
    Culture(
        5,
        _names("Agnieszka Elena Irina Natalia Zofia"),
        _names("Andrei Dmitri Jakub Pavel Tomasz"),
        _names("Ivanov Kowalski Nowak Petrov Volkov"),
        (WHITE,),
        False,
        ("pl", "ru", "en"),
    ),
    Culture(
        5,
        _names("Dezbah Haseya Shanna Winona"),
        _names("Ahiga Delbert Leland Wade"),
        _names("Begay Benally Tsosie Yazzie"),
        (NATIVE,),
        False,
        ("en", "nv"),
    ),
    Culture(
        3,
        _names("Kalea Leilani Malia Sina"),
        _names("Ikaika Kai Koa Sione"),
        _names("Kahale Kealoha Tavita Tuiasosopo"),
        (PACIFIC, ASIAN),
        False,
        ("en", "sm"),
    ),
    Culture(
        3,
        _names("Beatriz Fernanda Joana Luana"),
        _names("Caio Joaquim Rui Thiago"),
        _names("Almeida Carvalho Oliveira Silva"),
        (WHITE, BLACK),
        False,
        ("pt", "en"),
    ),
)
