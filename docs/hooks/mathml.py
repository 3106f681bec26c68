"""Renders formulas as MathML when the site is built, without JavaScript."""

import html
import re
import unicodedata

import latex2mathml.converter
from mkdocs.exceptions import PluginError

# What pymdownx.arithmatex writes with `generic: true`.
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL
)
# What latex2mathml does not know it copies.
NOT_CONVERTED = re.compile(r"\\[a-zA-Z]+|>&<")
# Browsers know no `mathvariant`: these letters are characters of their own.
LETTER = re.compile(r'<mi mathvariant="(script|double-struck)">(\w)</mi>')
# Functions are identifiers, with a thin space where no parenthesis follows.
OPERATOR = re.compile(r"<mo>((?!mod<)[a-zA-Z]{2,})</mo>")
FUNCTION = re.compile(
    r"(?<!<msub>)(?<!<munder>)(<mi>[a-zA-Z]{2,}</mi>)(?=<m)"
    r'(?!<mo stretchy="false">&#x00028;)'
)
BEFORE = re.compile(r"(</mi>|</mn>|</msub>|</mfrac>)(?=<mi>[a-zA-Z]{2,}</mi>)")
SPACE = r'\1<mspace width="0.17em" />'


def letter(match: re.Match) -> str:
    """Returns a script or double-struck letter, such as that of the loss."""
    style, name = match.groups()
    for kind in (f"MATHEMATICAL {style.upper()}", style.upper()):
        try:
            return f"<mi>{unicodedata.lookup(f'{kind} CAPITAL {name}')}</mi>"
        except KeyError:
            continue
    raise ValueError(f"Unicode has no {style} {name}.")


def convert(formula: str, display: str) -> str:
    """Returns a formula of LaTeX as MathML that browsers can draw."""
    formula = re.sub(r"(begin|end)\{aligned\}", r"\1{align*}", formula)
    mathml = latex2mathml.converter.convert(formula, display=display)
    if left := NOT_CONVERTED.findall(html.unescape(mathml)):
        raise ValueError(f"There is no MathML for {left}.")
    mathml = mathml.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # \\sim
    mathml = OPERATOR.sub(r"<mi>\1</mi>", LETTER.sub(letter, mathml))
    return FUNCTION.sub(SPACE, BEFORE.sub(SPACE, mathml))


def on_page_content(content: str, page, **kwargs: object) -> str:
    """Replaces the formulas of a page."""

    def replace(match: re.Match) -> str:
        tag, opening, formula = match.groups()
        formula = html.unescape(formula).strip()
        try:
            mathml = convert(formula, "block" if opening == "[" else "inline")
        except Exception as error:
            raise PluginError(
                f"{page.file.src_uri}: {error} In the formula: {formula}"
            ) from error
        return f'<{tag} class="formula">{mathml}</{tag}>'

    content = FORMULA.sub(replace, content)
    if "arithmatex" in content:
        raise PluginError(f"{page.file.src_uri}: a formula was not converted.")
    return content
