package events

import (
	"log/slog"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// The most that a log line takes of text from elsewhere, in characters.
const (
	maxLogID   = 128 // our own ids have 36
	maxLogText = 2000
)

// LogID is an id from a record or a request in the form in which logs, spans and error texts hold it: one line of at most
// 128 characters.
func LogID(id string) string { return OneLine(id, maxLogID) }

// LogText is the text of an error in the form in which logs hold it: one line of at most 2,000 characters.
func LogText(text string) string { return OneLine(text, maxLogText) }

// LogAttr is the [slog.HandlerOptions.ReplaceAttr] of JSON logs. It writes a duration in milliseconds, under a name that ends
// in _ms, an empty list as [] (not null), and U+FFFD for the control characters that a terminal obeys and JSON leaves as they
// are: DEL and C1.
func LogAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		return slog.Float64(a.Key+"_ms", float64(a.Value.Duration())/float64(time.Millisecond))
	case slog.KindString:
		if text := a.Value.String(); strings.ContainsFunc(text, isRawControl) {
			a.Value = slog.StringValue(strings.Map(func(r rune) rune {
				if isRawControl(r) {
					return unicode.ReplacementChar
				}
				return r
			}, text))
		}
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

func isRawControl(r rune) bool { return 0x7f <= r && r <= 0x9f }
