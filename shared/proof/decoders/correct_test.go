package decoders_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"text/tabwriter"

	. "github.com/sipeat/sipeat/shared/proof/decoders"
	"github.com/sipeat/sipeat/shared/proof/decoders/easy"

	"github.com/mailru/easyjson"
)

type contact = Event[ContactCreated[TextTime], TextTime]

// Each case is a document, or ${...} in the place of a contact's data.name.
var cases = []struct{ name, doc string }{
	{"unknown fields", `{"eventId":"1","x":{"y":[1,{"z":null}]},"data":{"name":"n","q":1e9}}`},
	{"null object", `{"eventId":"1","data":null}`},
	{"null string", `{"eventId":"1","data":{"name":null}}`},
	{"null timestamp", `{"eventId":"1","data":{"timestamp":null}}`},
	{"missing", `{"eventId":"1"}`},
	{"top-level null", `null`},
	{"top-level array", `[]`},
	{"empty input", ``},
	{"blank input", " \n"},
	{"number for string", `{"eventId":1}`},
	{"object for string", `{"data":{"name":{}}}`},
	{"string for object", `{"data":"x"}`},
	{"array for object", `{"data":[]}`},
	{"number for time", `{"metadata":{"timestamp":1719400000}}`},
	{"bad time", `{"metadata":{"timestamp":"yesterday"}}`},
	{"escaped time", `{"metadata":{"timestamp":"2026-11-23T06\u003a54:21.123Z"}}`},
	{"trailing garbage", `{"eventId":"1"}x`},
	{"trailing brace", `{"eventId":"1"}}`},
	{"two documents", `{"eventId":"1"} {"eventId":"2"}`},
	{"trailing NUL", "{\"eventId\":\"1\"}\x00"},
	{"trailing space", "{\"eventId\":\"1\"} \r\n\t"},
	{"NUL inside string", "{\"eventId\":\"a\x00b\"}"},
	{"raw newline in string", "{\"eventId\":\"a\nb\"}"},
	{"byte order mark", "\xef\xbb\xbf{\"eventId\":\"1\"}"},
	{"invalid UTF-8", "{\"eventId\":\"a\xffb\"}"},
	{"invalid UTF-8 unknown", "{\"eventId\":\"1\",\"x\":\"a\xffb\"}"},
	{"lone surrogate", `{"eventId":"a\ud83db"}`},
	{"surrogate pair", `{"eventId":"\ud83e\udd64\u00e9\"\\\/\b\f\n\r\t"}`},
	{"bad escape", `{"eventId":"\x41"}`},
	{"bad \\u escape", `{"eventId":"\u12g4"}`},
	{"escaped name", `{"event\u0049d":"1"}`},
	{"duplicate name", `{"eventId":"1","eventId":"2"}`},
	{"duplicate object", `{"data":{"name":"n","city":"c"},"data":{"email":"e"}}`},
	{"duplicate unknown", `{"x":1,"x":2,"eventId":"1"}`},
	{"other case", `{"EVENTID":"1"}`},
	{"other case after", `{"eventId":"1","EventId":"2"}`},
	{"huge number unknown", `{"eventId":"1","x":` + strings.Repeat("9", 5000) + `}`},
	{"1e999 unknown", `{"eventId":"1","x":1e999}`},
	{"bad number unknown", `{"eventId":"1","x":01}`},
	{"bad literal unknown", `{"eventId":"1","x":nul}`},
	{"NaN unknown", `{"eventId":"1","x":NaN}`},
	{"bad nested unknown", `{"eventId":"1","x":{"y":[1,}}}`},
	{"trailing comma", `{"eventId":"1",}`},
	{"single quotes", `{'eventId':'1'}`},
	{"comment", `{"eventId":"1"/**/}`},
	{"deep unknown arrays", `{"x":` + strings.Repeat("[", 100000)},
	{"deep closed arrays", `{"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`},
	{"deep closed objects", `{"x":` + strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000) + `}`},
	{"deep top-level", strings.Repeat("[", 100000)},
}

// all are the candidates with easyjson; deep input runs last, because a candidate that overflows its stack ends the process.
func all() []Codec {
	return append(Codecs, Codec{Name: "easyjson", Unmarshal: func(b []byte, v any) error {
		var e easy.ContactEvent
		err := easyjson.Unmarshal(b, &e)
		c := v.(*contact)
		c.ID, c.Data.Name, c.Data.Email = e.ID, e.Data.Name, e.Data.Email
		if err == nil && e.Metadata.Timestamp != "" {
			c.Metadata.Timestamp.T, err = e.Metadata.Timestamp.Parse()
		}
		return err
	}})
}

func outcome(c Codec, doc string) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprint("PANIC ", p)
		}
	}()
	var e contact
	if err := c.Unmarshal([]byte(doc), &e); err != nil {
		return "error"
	}
	s = fmt.Sprintf("ok %+q %+q", e.ID, e.Data.Name)
	if e.Data.Email != "" {
		s += fmt.Sprintf(" %+q", e.Data.Email)
	}
	if !e.Metadata.Timestamp.T.IsZero() {
		s += " time"
	}
	return strings.TrimSuffix(s, ` ""`)
}

// TestOddities writes the table of where the candidates differ from encoding/json: go test -run Oddities -v
func TestOddities(t *testing.T) {
	w := tabwriter.NewWriter(os.Stderr, 0, 8, 2, ' ', 0)
	defer w.Flush()
	for _, c := range cases {
		want := outcome(Codecs[0], c.doc)
		line := fmt.Sprintf("%s\tstd: %s", c.name, want)
		for _, codec := range all()[1:] {
			if got := outcome(codec, c.doc); got != want {
				line += fmt.Sprintf("\t%s: %s", codec.Name, got)
			}
		}
		if testing.Verbose() {
			fmt.Fprintln(w, line)
		}
	}
}

// TestTruncated: no proper prefix of an event is an event, and none panics.
func TestTruncated(t *testing.T) {
	for _, c := range all() {
		bad := 0
		for _, doc := range Mix[:4] {
			for n := range doc {
				if got := outcome(c, string(doc[:n])); got != "error" {
					if bad++; bad < 4 {
						t.Errorf("%s: %d of %d bytes: %s", c.Name, n, len(doc), got)
					}
				}
			}
		}
	}
}

// TestAlias: what was decoded does not change with the buffer that it came from.
func TestAlias(t *testing.T) {
	for _, c := range all() {
		buf := append([]byte(nil), Mix[0]...)
		var e, want contact
		if err := c.Unmarshal(buf, &e); err != nil {
			t.Fatal(c.Name, err)
		}
		_ = c.Unmarshal(append([]byte(nil), Mix[0]...), &want)
		for i := range buf {
			buf[i] = '#'
		}
		if !reflect.DeepEqual(e, want) {
			t.Errorf("%s: the result aliases its input: %+v", c.Name, e)
		}
	}
}

// TestEqual: every candidate reads every event of the mix as encoding/json does, and reads back what it wrote.
func TestEqual(t *testing.T) {
	for i, doc := range Mix {
		for _, c := range Codecs {
			want, got, back := Values[TextTime]()[i&3], Values[TextTime]()[i&3], Values[TextTime]()[i&3]
			for _, v := range []any{want, got, back} {
				reflect.ValueOf(v).Elem().SetZero()
			}
			_ = json.Unmarshal(doc, want)
			if err := c.Unmarshal(doc, got); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %v %+v, not %+v", c.Name, err, got, want)
			}
			b, err := c.Marshal(got)
			if err != nil {
				t.Fatal(c.Name, err)
			}
			if err := json.Unmarshal(b, back); err != nil || !reflect.DeepEqual(back, want) {
				t.Fatalf("%s wrote %s: %v", c.Name, b, err)
			}
		}
	}
}
