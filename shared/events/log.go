package events

import (
	"log/slog"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// OneLine makes any text fit for one line of at most limit characters: runs of control characters and space become one space,
// invalid UTF-8 becomes U+FFFD, and a longer text ends in an ellipsis.
func OneLine(text string, limit int) string {
	if len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return text
	}
	gap := func(r rune) bool { return unicode.IsSpace(r) || IsControl(r) }
	line := []rune(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), gap), " "))
	if len(line) > limit {
		return string(line[:limit-1]) + "…"
	}
	return string(line)
}

// LogID is an id from a record or a request in the form in which logs, spans and error texts hold it: one line of at most
// 128 characters; our own ids have 36.
func LogID(id string) string { return OneLine(id, 128) }

// LogText is the text of an error in the form in which logs hold it: one line of at most 2,000 characters.
func LogText(text string) string { return OneLine(text, 2000) }

// LogAttr is the [slog.HandlerOptions.ReplaceAttr] of JSON logs. It writes a duration in milliseconds, under a name that ends
// in _ms, an empty list as [] (not null), and U+FFFD for DEL and C1, the control characters that a terminal obeys and JSON
// leaves as they are.
func LogAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		return slog.Float64(a.Key+"_ms", float64(a.Value.Duration())/float64(time.Millisecond))
	case slog.KindString:
		a.Value = slog.StringValue(strings.Map(func(r rune) rune {
			if 0x7f <= r && r <= 0x9f {
				return unicode.ReplacementChar
			}
			return r
		}, a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return LogAttr(nil, slog.String(a.Key, err.Error()))
		}
		if v := reflect.ValueOf(a.Value.Any()); v.Kind() == reflect.Slice && v.IsNil() {
			a.Value = slog.AnyValue([]string{})
		}
	}
	return a
}
