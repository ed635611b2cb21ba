package events

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine makes any text fit for one line: runs of control characters and space become one space, invalid UTF-8 becomes
// U+FFFD, and a text of more than limit characters ends in an ellipsis. It reads no more of the text than it needs.
func OneLine(text string, limit int) string {
	if len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return text
	}
	var b strings.Builder
	n, cut, space := 0, 0, false // characters, where to cut, whether space precedes the next one
	add := func(r rune) bool {
		if n == limit-1 {
			cut = b.Len()
		}
		n++
		b.WriteRune(r)
		return n <= limit
	}
	for _, r := range text { // invalid bytes come as U+FFFD
		if unicode.IsSpace(r) || isControl(r) {
			space = n > 0
			continue
		}
		if space && !add(' ') || !add(r) {
			return b.String()[:cut] + "…"
		}
		space = false
	}
	return b.String()
}

// EscapeControls escapes in a JSON text the control characters that JSON allows in strings and a terminal obeys: DEL and C1
// (U+007F to U+009F). The JSON means the same afterwards; invalid UTF-8 becomes U+FFFD.
func EscapeControls(json []byte) []byte {
	if utf8.Valid(json) && !bytes.ContainsFunc(json, isRawControl) {
		return json
	}
	var out []byte
	for _, r := range string(json) {
		if isRawControl(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
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
