package events

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What a text may share with what people said and still be logged: fewer bytes in a row than this.
const maskedRun = 6

// maxText is how much of an error's text is worth a log line, in bytes.
const maxText = 2000

// Masked is err with a text that can be logged: *** stands where it repeats, in either case of letters, six bytes or
// more in a row of what was said, or a shorter one of them as a whole word. Of a text that repeats it in another form
// (escaped, encoded) it knows nothing. What err is stays as it was; a nil err stays nil.
//
// Errors that nobody foresaw are logged, because without their text nobody can mend what is wrong; and whoever
// made that text may have put a value into it.
func Masked(err error, said ...string) error {
	if err == nil {
		return nil
	}
	whole := err.Error()
	text := Mask(whole, said...)
	if text == whole {
		return err
	}
	return &masked{text, err}
}

type masked struct {
	text string
	err  error
}

func (m *masked) Error() string { return m.text }

func (m *masked) Unwrap() error { return m.err }

// Mask is what [Masked] does to a text, and cuts it to 2,000 bytes.
func Mask(text string, said ...string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	lower := lowered(text)
	runs := map[string][]int{} // where the text has which run
	for i := 0; i+maskedRun <= len(lower); i++ {
		run := lower[i : i+maskedRun]
		runs[run] = append(runs[run], i)
	}
	hidden := make([]bool, len(text))
	hide := func(from, n int) {
		for i := from; i < from+n; i++ {
			hidden[i] = true
		}
	}
	for _, s := range said {
		s = lowered(s)
		for i := 0; i+maskedRun <= len(s); i++ {
			for _, at := range runs[s[i:i+maskedRun]] {
				hide(at, maskedRun)
			}
		}
		if len(s) > 1 && len(s) < maskedRun {
			for at := 0; ; at++ {
				next := strings.Index(lower[at:], s)
				if next < 0 {
					break
				}
				if at += next; wholeWord(lower, at, at+len(s)) {
					hide(at, len(s))
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString("***")
		}
	}
	return strings.ToValidUTF8(b.String(), "")
}

// lowered changes ASCII only, so that every byte keeps its place.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func wholeWord(s string, from, to int) bool {
	return (from == 0 || !letter(s[from-1])) && (to == len(s) || !letter(s[to]))
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80
}

// named are the members whose values say nothing about people: ids, and what the envelope says.
var named = map[string]bool{
	"eventId": true, "eventType": true, "metadata": true, "timestamp": true,
	"id": true, "machineId": true, "subjectId": true,
}

// Said is what a document, an event or a payload, says in its text and numbers; ids, times and metadata left out. One
// that is no JSON is said as a whole.
func Said(document []byte) (said []string) {
	d := jsontext.NewDecoder(bytes.NewReader(document), tolerant)
	for d.PeekKind() != 0 {
		if kind, length := d.StackIndex(d.StackDepth()); kind == '{' && length%2 == 0 && d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				break
			}
			if named[name.String()] && d.SkipValue() != nil {
				break
			}
			continue
		}
		token, err := d.ReadToken()
		if err != nil {
			break
		}
		if kind := token.Kind(); kind == '"' || kind == '0' {
			said = append(said, token.String())
		}
	}
	if d.InputOffset() < int64(len(bytes.TrimSpace(document))) {
		return []string{string(document)}
	}
	return said
}
