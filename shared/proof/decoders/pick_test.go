package decoders_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	. "github.com/sipeat/sipeat/shared/proof/decoders"

	v2 "github.com/go-json-experiment/json"
)

var std, pick = Codecs[0], Codecs[2] // encoding/json; json/v2 with its two options

// TestPick pins where json/v2, as chosen, differs from encoding/json: names have one spelling. All else is equal.
func TestPick(t *testing.T) {
	differs := map[string]string{"other case": "ok", "other case after": `ok "1"`}
	for _, c := range cases {
		want, known := differs[c.name]
		if !known {
			want = outcome(std, c.doc)
		}
		if got := outcome(pick, c.doc); got != want && got != want+` ""` {
			t.Errorf("%s: %s, not %s", c.name, got, want)
		}
	}
}

// FuzzPick: json/v2 accepts what encoding/json accepts, and reads the same from it.
// Out of the comparison are names that differ in case only, and the values of names that stand twice.
func FuzzPick(f *testing.F) {
	fuzz(f, pick)
}

// FuzzGoccy is the same of the fastest candidate.
func FuzzGoccy(f *testing.F) {
	for _, c := range Codecs {
		if c.Name == "goccy" {
			fuzz(f, c)
		}
	}
}

func fuzz(f *testing.F, codec Codec) {
	for _, doc := range Mix[:4] {
		f.Add(doc)
	}
	for _, c := range cases {
		if len(c.doc) < 10000 {
			f.Add([]byte(c.doc))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if otherCase(doc) {
			t.Skip()
		}
		for _, pair := range [][2]any{
			{new(Event[ContactCreated[TextTime], TextTime]), new(Event[ContactCreated[TextTime], TextTime])},
			{new(Event[*RequestCreated[LateTime], LateTime]), new(Event[*RequestCreated[LateTime], LateTime])},
		} {
			want, got := pair[0], pair[1]
			wantErr, gotErr := std.Unmarshal(doc, want), codec.Unmarshal(bytes.Clone(doc), got)
			if (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("%q: %v, not %v", doc, gotErr, wantErr)
			}
			if twice := v2.Unmarshal(doc, new(any)) != nil; wantErr == nil && !twice && !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %+v, not %+v", doc, got, want)
			}
		}
	})
}

// otherCase says whether a string in doc is a field's name in another case.
func otherCase(doc []byte) bool {
	names := strings.Fields("eventId eventType data metadata timestamp producer correlationId causationId id name email phone message companyName machineLocation address city country drinksList machineId")
	d := json.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := d.Token()
		if err == io.EOF || err != nil {
			return false
		}
		s, _ := token.(string)
		for _, name := range names {
			if s != name && strings.EqualFold(s, name) {
				return true
			}
		}
	}
}
