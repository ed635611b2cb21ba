package events

import (
	"errors"
	"time"
)

// Time is a moment as it travels: RFC 3339 with milliseconds, UTC. It reads any RFC 3339 offset and precision, of which
// it keeps whole milliseconds, and null as the zero value. In UTC its year has four digits.
type Time struct{ time time.Time }

const layout = "2006-01-02T15:04:05.000Z"

var errTime = errors.New("no timestamp: RFC 3339 is wanted, such as 2026-11-23T06:54:21.123Z")

// At is the moment t as it travels.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// Time is the moment in UTC.
func (t Time) Time() time.Time { return t.time }

// IsZero reports whether there is no moment.
func (t Time) IsZero() bool { return t.time.IsZero() }

func (t Time) String() string { return t.time.Format(layout) }

// AppendText writes the moment as it travels.
func (t Time) AppendText(b []byte) ([]byte, error) {
	if !t.writable() {
		return nil, errTime
	}
	return t.time.AppendFormat(b, layout), nil
}

func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(b))
	if at := At(parsed); err == nil && at.writable() { // the offset can lead beyond year 9999
		*t = at
		return nil
	}
	return errTime // without the text: it is somebody's
}

func (t Time) writable() bool { return 0 <= t.time.Year() && t.time.Year() <= 9999 }

// isMoment: what String gives of a moment that can be written.
func isMoment(s string) bool {
	return new(Time).UnmarshalText([]byte(s)) == nil
}
