package events

import (
	"errors"
	"time"
)

// Time is a time in the wire format: RFC 3339 with milliseconds, UTC. It reads any RFC 3339 offset and precision, keeps whole
// milliseconds, and reads null as the zero value. In UTC its year has four digits.
type Time struct{ time time.Time }

const layout = "2006-01-02T15:04:05.000Z"

var errTime = errors.New("not an RFC 3339 timestamp, such as 2026-11-23T06:54:21.123Z")

// At is t in the wire format's precision.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// Time is the time in UTC.
func (t Time) Time() time.Time { return t.time }

// IsZero reports whether there is no time.
func (t Time) IsZero() bool { return t.time.IsZero() }

func (t Time) String() string { return t.time.Format(layout) }

func (t Time) MarshalText() ([]byte, error) {
	if !t.writable() {
		return nil, errTime
	}
	return []byte(t.String()), nil
}

func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(b))
	if at := At(parsed); err == nil && at.writable() { // the offset can move it into year 10000
		*t = at
		return nil
	}
	return errTime // without the text, which is payload
}

func (t Time) writable() bool { return 0 <= t.time.Year() && t.time.Year() <= 9999 }
