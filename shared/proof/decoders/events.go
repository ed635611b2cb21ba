package decoders

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Event is the envelope as it stands on the topics. S is how a timestamp is decoded.
type Event[T, S any] struct {
	ID       string      `json:"eventId"`
	Type     string      `json:"eventType"`
	Data     T           `json:"data"`
	Metadata Metadata[S] `json:"metadata"`
}

type Metadata[S any] struct {
	Timestamp     S      `json:"timestamp"`
	Producer      string `json:"producer"`
	CorrelationID string `json:"correlationId,omitempty"`
	CausationID   string `json:"causationId,omitempty"`
}

type ContactCreated[S any] struct {
	ID              string `json:"id"`
	Name            string `json:"name"`
	Email           string `json:"email"`
	Phone           string `json:"phone"`
	Message         string `json:"message"`
	CompanyName     string `json:"companyName,omitempty"`
	MachineLocation string `json:"machineLocation,omitempty"`
	Timestamp       S      `json:"timestamp"`
}

type MachineCreated[S any] struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Address      string `json:"address"`
	City         string `json:"city"`
	Country      string `json:"country"`
	ContactName  string `json:"contactName"`
	ContactEmail string `json:"contactEmail"`
	ContactPhone string `json:"contactPhone"`
	Timestamp    S      `json:"timestamp"`
}

type RequestCreated[S any] struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Email      string   `json:"email"`
	Phone      string   `json:"phone"`
	Address    string   `json:"address"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	DrinksList []string `json:"drinksList"`
	MachineID  string   `json:"machineId,omitempty"`
	Timestamp  S        `json:"timestamp"`
}

type Notification[S any] struct {
	ID             string `json:"id,omitempty"`
	Type           string `json:"type"`
	Message        string `json:"message"`
	RecipientEmail string `json:"recipientEmail,omitempty"`
	SubjectID      string `json:"subjectId,omitempty"`
	Timestamp      S      `json:"timestamp"`
}

// A Stamp is one way to decode a timestamp; Parse gives the time, at once or by reading it now.
type Stamp interface{ Parse() (time.Time, error) }

type (
	// StdTime is time.Time with its own methods.
	StdTime struct{ time.Time }
	// TextTime decodes by UnmarshalText. T is not embedded: UnmarshalJSON of time.Time would be promoted, and win.
	TextTime struct{ T time.Time }
	// JSONTime decodes by UnmarshalJSON.
	JSONTime struct{ T time.Time }
	// FromTime decodes by UnmarshalJSONFrom, which json/v2 prefers.
	FromTime struct{ T time.Time }
	// LateTime is a plain string, read after the decode.
	LateTime string
)

func (t StdTime) Parse() (time.Time, error)  { return t.Time, nil }
func (t TextTime) Parse() (time.Time, error) { return t.T, nil }
func (t JSONTime) Parse() (time.Time, error) { return t.T, nil }
func (t FromTime) Parse() (time.Time, error) { return t.T, nil }
func (t LateTime) Parse() (time.Time, error) { return ParseTime(string(t)) }

func (t *TextTime) UnmarshalText(b []byte) (err error) {
	t.T, err = ParseTime(b)
	return err
}

func (t TextTime) MarshalText() ([]byte, error) { return t.AppendText(nil) }

func (t TextTime) AppendText(b []byte) ([]byte, error) {
	return t.T.UTC().AppendFormat(b, wireTime), nil
}

func (t *JSONTime) UnmarshalJSON(b []byte) (err error) {
	if string(b) == "null" {
		return nil
	}
	if len(b) < 2 || b[0] != '"' {
		return errNotTime
	}
	t.T, err = ParseTime(b[1 : len(b)-1])
	return err
}

func (t JSONTime) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(wireTime)+2)
	return append(t.T.UTC().AppendFormat(append(b, '"'), wireTime), '"'), nil
}

func (t *FromTime) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	var j JSONTime
	err = j.UnmarshalJSON(v)
	t.T = j.T
	return err
}

const wireTime = "2006-01-02T15:04:05.000Z"

var errNotTime = errors.New("timestamp is not an RFC 3339 string")

// ParseTime reads the wire's own form by hand, and any other RFC 3339 by package time.
func ParseTime[B []byte | string](s B) (time.Time, error) {
	if len(s) == len(wireTime) && s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':' && s[16] == ':' && s[19] == '.' && s[23] == 'Z' {
		bad := false
		num := func(from, to int) (n int) {
			for ; from < to; from++ {
				d := s[from] - '0'
				bad = bad || d > 9
				n = n*10 + int(d)
			}
			return n
		}
		y, mo, d, h, mi, sec, ms := num(0, 4), num(5, 7), num(8, 10), num(11, 13), num(14, 16), num(17, 19), num(20, 23)
		// Days 29 to 31 need the calendar: package time knows it.
		if !bad && mo >= 1 && mo <= 12 && d >= 1 && d <= 28 && h < 24 && mi < 60 && sec < 60 {
			return time.Date(y, time.Month(mo), d, h, mi, sec, ms*1e6, time.UTC), nil
		}
	}
	return time.Parse(time.RFC3339, string(s))
}

//go:embed testdata/*.json
var samples embed.FS

// Mix are 1024 events, the four samples in turn. Ids, names and texts differ between any two, because no two events
// on a topic are equal: json/v2 remembers short strings, and gains a third on one event decoded again and again.
var Mix = func() (mix [1024][]byte) {
	value := regexp.MustCompile(`"(?:eventId|id|subjectId|correlationId|causationId|name|contactName|companyName|message|email|contactEmail|recipientEmail|phone|contactPhone|address|timestamp)":"(?:\\.|[^"\\])*"`)
	letter := regexp.MustCompile(`\\u....|\\.|[a-z]|[0-9]`)
	random := rand.New(rand.NewPCG(1, 2))
	vary := func(s []byte) []byte {
		switch {
		case s[0] == '\\':
			return s
		case s[0] <= '9':
			return []byte{byte('0' + random.IntN(10))}
		}
		return []byte{byte('a' + random.IntN(26))}
	}
	names := []string{"contact-created", "machine-created", "request-created", "notification"}
	for i := range mix {
		sample, err := samples.ReadFile("testdata/" + names[i%4] + ".json")
		if err != nil {
			panic(err)
		}
		mix[i] = value.ReplaceAllFunc(bytes.TrimSpace(sample), func(member []byte) []byte {
			colon := bytes.IndexByte(member, ':') + 1
			varied := bytes.Clone(member[:colon])
			if bytes.HasPrefix(member, []byte(`"timestamp"`)) {
				return append(varied, fmt.Sprintf(`"2026-11-%02dT06:54:21.%03dZ"`, 1+random.IntN(28), random.IntN(1000))...)
			}
			return append(varied, letter.ReplaceAllFunc(member[colon:], vary)...)
		})
	}
	return mix
}()

// DecodeMixed decodes Mix[i%1024] in one pass and reads its two timestamps.
func DecodeMixed[S Stamp](unmarshal func([]byte, any) error, i int) error {
	b := Mix[i&1023]
	switch i & 3 {
	case 0:
		var e Event[ContactCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	case 1:
		var e Event[MachineCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	case 2:
		var e Event[RequestCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	default:
		var e Event[Notification[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	}
}

// DecodeMixedPointer is DecodeMixed with Data behind a pointer.
func DecodeMixedPointer[S Stamp](unmarshal func([]byte, any) error, i int) error {
	b := Mix[i&1023]
	switch i & 3 {
	case 0:
		var e Event[*ContactCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	case 1:
		var e Event[*MachineCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	case 2:
		var e Event[*RequestCreated[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	default:
		var e Event[*Notification[S], S]
		return cmpErr(unmarshal(b, &e), e.Data.Timestamp, e.Metadata.Timestamp)
	}
}

func cmpErr[S Stamp](err error, stamps ...S) error {
	for _, s := range stamps {
		if err == nil {
			var t time.Time
			if t, err = s.Parse(); err == nil && t.IsZero() {
				err = errNotTime
			}
		}
	}
	return err
}

// Values are the first four events of Mix as Go values, by encoding/json: what the encoders write.
func Values[S any]() (v [4]any) {
	v = [4]any{&Event[ContactCreated[S], S]{}, &Event[MachineCreated[S], S]{}, &Event[RequestCreated[S], S]{}, &Event[Notification[S], S]{}}
	for i := range v {
		if err := json.Unmarshal(Mix[i], v[i]); err != nil {
			panic(err)
		}
	}
	return v
}
