package notify

import (
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/sipeat/sipeat/shared/events"
)

// subject is the kind of the notification's subject. A foreign type is not repeated.
func (m Message) subject() string {
	switch m.Type {
	case "contact", "machine", "request":
		return m.Type
	}
	return "notification"
}

// reference is what staff look up.
func (m Message) reference() string {
	var lines []string
	if id := events.LogID(m.SubjectID); id != "" {
		lines = append(lines, m.subject()+" "+id)
	}
	if id := events.LogID(m.ID); id != "" {
		lines = append(lines, "notification "+id)
	}
	return strings.Join(lines, "\n")
}

// prose keeps lines and tabs of a text, and removes what a terminal or a reader would obey: controls, and the bidirectional
// overrides with which text can imitate other text (Unicode TR 36).
func prose(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' {
			return -1
		}
		return r
	}, text))
}

// units is the length of a text in UTF-16 code units.
func units(text string) int { return len(utf16.Encode([]rune(text))) }

// cut shortens a text to at most limit UTF-16 code units, between two characters.
func cut(text string, limit int) string {
	all := utf16.Encode([]rune(text))
	if len(all) <= limit {
		return text
	}
	return strings.TrimSuffix(string(utf16.Decode(all[:limit-1])), "\uFFFD") + "…" // the half of a character
}
