package events

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine makes any text one that every field of one line takes, if anything in it can be seen: control characters and
// runs of space become one space, what is not UTF-8 becomes U+FFFD, and the end is cut off beyond limit characters.
func OneLine(text string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	clean = strings.Join(strings.Fields(clean), " ")
	if utf8.RuneCountInString(clean) > limit {
		return string([]rune(clean)[:limit-1]) + "…"
	}
	return clean
}

// isText: one line that says something.
func isText(s string) bool {
	return !isBlank(s) && utf8.ValidString(s) && !strings.ContainsFunc(s, isControl)
}

// isProse: text that may have lines and tabs.
func isProse(s string) bool {
	return isText(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(s))
}

// isToken: an id, or another text that is compared and not read, so nothing in it may be hidden.
func isToken(s string) bool {
	return isText(s) && !strings.ContainsFunc(s, isHidden)
}

// isBlank: nothing in it can be seen.
func isBlank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isHidden(r) && !unicode.IsMark(r) })
}

// isControl: the characters that change how a line is shown or parsed: controls (C0, C1), line and paragraph
// separators, and the bidirectional overrides by which text can pose as other text (Unicode TR 36). The joiners that
// Persian, Indic scripts and emoji are written with, and the marks of direction that Hebrew and Arabic use, are none.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// isHidden: what is there and cannot be seen.
func isHidden(r rune) bool {
	return unicode.IsSpace(r) || isControl(r) || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800' // the empty braille pattern
}
