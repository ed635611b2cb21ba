package events

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine makes any text fit for one line of at most limit characters: runs of control characters and space become one space,
// invalid UTF-8 becomes U+FFFD, and a longer text ends in an ellipsis.
func OneLine(text string, limit int) string {
	if len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return text
	}
	gap := func(r rune) bool { return unicode.IsSpace(r) || isControl(r) }
	var line []rune
	for word := range strings.FieldsFuncSeq(strings.ToValidUTF8(text, "\uFFFD"), gap) {
		if len(line) > 0 {
			line = append(line, ' ')
		}
		if line = append(line, []rune(word)...); len(line) > limit {
			return string(line[:limit-1]) + "…"
		}
	}
	return string(line)
}

// isText accepts one line with visible characters.
func isText(s string) bool {
	return !isBlank(s) && utf8.ValidString(s) && !strings.ContainsFunc(s, isControl)
}

// isProse accepts text that may have line breaks and tabs.
func isProse(s string) bool {
	return isText(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(s))
}

// isToken accepts text that is compared and not read, such as an id, so nothing in it may be invisible.
func isToken(s string) bool {
	return isText(s) && !strings.ContainsFunc(s, isHidden)
}

// isBlank reports whether nothing in s is visible.
func isBlank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isHidden(r) && !unicode.IsMark(r) })
}

// isControl accepts the characters that change how a line is shown or parsed: controls (C0, C1), line and paragraph
// separators, and the bidirectional overrides that make text look like other text (Unicode TR 36). Not among them are the
// joiners that Persian, Indic scripts and emoji need and the direction marks of Hebrew and Arabic.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// isHidden accepts invisible characters.
func isHidden(r rune) bool {
	return unicode.IsSpace(r) || isControl(r) || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800' // the empty braille pattern
}
