"""Parsed XML with a compiled XPath, a transformation, a schema and a half-fed parser."""

from typing import Any

from lxml import etree

SAME = ("found", "transformed", "valid", "fed", "changed")

DOCUMENT = etree.fromstring("<a><b n='1'>one</b><b n='2'>two</b></a>")
FIND = etree.XPath("//b[@n=$n]/text()")
TRANSFORM = etree.XSLT(
    etree.fromstring(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/a"><c><xsl:value-of select="count(b)"/></c></xsl:template></xsl:stylesheet>'
    )
)
SCHEMA = etree.RelaxNG(
    etree.fromstring(
        '<element name="a" xmlns="http://relaxng.org/ns/structure/1.0"><oneOrMore><element name="b">'
        '<attribute name="n"/><text/></element></oneOrMore></element>'
    )
)
PARSER = etree.XMLPullParser(events=("end",))
PARSER.feed("<a><b>half")


def handler(event: Any, context: Any) -> dict[str, Any]:
    if event["call"] == 1:
        PARSER.feed(" done</b></a>")
    fed = [element.text for _, element in PARSER.read_events()]
    DOCUMENT[0].text = f"call {event['call']}"
    return {
        "found": [FIND(DOCUMENT, n="2"), len(FIND(DOCUMENT, n="3"))],
        "transformed": str(TRANSFORM(DOCUMENT)),
        "valid": SCHEMA.validate(DOCUMENT),
        "fed": fed,
        "changed": etree.tostring(DOCUMENT).decode(),
    }
