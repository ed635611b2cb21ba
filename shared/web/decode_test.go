package web

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// order has the kinds of fields that a body may have.
type order struct {
	events.Request
	Count  int          `json:"count"`
	Urgent bool         `json:"urgent"`
	At     *events.Time `json:"at"`
	Where  address      `json:"where"`
	Stops  []address    `json:"stops"`
	Hidden string       `json:"-"`
}

type address struct {
	Street string `json:"street"`
}

func read(body string) (o order, p *Problem) {
	p = decode([]byte(body), &o)
	return o, p
}

func pointers(p *Problem) string {
	var all []string
	for _, e := range p.Errors {
		all = append(all, e.Pointer+" "+e.Detail)
	}
	return strings.Join(all, "\n")
}

func TestDecodeReads(t *testing.T) {
	var o order
	require.Nil(t, decode([]byte(` { "n\u0061me" : "Zo\u00eb \ud83c\udf79 <&>", "drinksList":["Mate",null], "count":-3,
		"urgent":true, "at":"2026-11-23T06:54:21+01:00", "email":null,
		"where":{"street":"A"}, "stops":[{},{"street":"B"}] } `+"\r\n\t"), &o))
	assert.Equal(t, "Zoë 🍹 <&>", o.Name)
	assert.Equal(t, []string{"Mate", ""}, o.DrinksList, "null counts as absent")
	assert.Equal(t, -3, o.Count)
	assert.True(t, o.Urgent)
	assert.Equal(t, "2026-11-23T05:54:21.000Z", o.At.String())
	assert.Equal(t, address{"A"}, o.Where)
	assert.Equal(t, []address{{}, {"B"}}, o.Stops)
}

// The first field that cannot be read is named by its pointer, and its position by line, column and byte.
func TestDecodeNamesTheField(t *testing.T) {
	for _, c := range []struct{ name, body, want, at string }{
		{"unknown", `{"a/b~":{"x":[1,{"y":2}]}}`,
			"/a~1b~0 is unknown; known are name, email, phone, address, city, country, drinksList, machineId, " +
				"count, urgent, at, where, stops", "at line 1, column 2 (byte 1)"},
		{"other case", `{"Email":"x"}`, "/Email is unknown; known are name, email", "byte 1)"},
		{"hidden", `{"Hidden":"x"}`, "/Hidden is unknown", "byte 1)"},
		{"duplicate", `{"name":"a","n\u0061me":{"b":[]}}`, "/name is a duplicate; send it once", "byte 12)"},
		{"number", "{\n\"name\":1}", "/name must be a string", "at line 2, column 8 (byte 9)"},
		{"object", `{"drinksList":{"a":1}}`, "/drinksList must be a list", ""},
		{"fraction", `{"count":1.5}`, "/count must be a number", ""},
		{"entry", `{"drinksList":["a","b",3,"c",{"d":4}]}`, "/drinksList/2 must be a string", ""},
		{"unknown in an entry", `{"stops":[{"street":"a"},{"town":2}]}`, "/stops/1/town is unknown; known are street", ""},
		{"time", `{"at":"yesterday"}`, "/at is not an RFC 3339 timestamp, such as ", ""},
		{"time of another type", `{"at":{"a":[1]}}`, "/at must be a string", ""},
		{"several", `{"x":1,"name":2}`, "/x is unknown", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := read(c.body)
			require.NotNil(t, p)
			assert.Equal(t, 400, p.Status)
			assert.Equal(t, typeUnreadable, p.Type)
			assert.Len(t, p.Errors, 1)
			assert.True(t, strings.HasPrefix(pointers(p), c.want), "want %s\ngot  %s", c.want, pointers(p))
			assert.Contains(t, p.Detail, "column ")
			assert.Contains(t, p.Detail, c.at)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxBody-20)
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", "The body is empty"},
		{"blank", " \r\n\t", "The body is empty"},
		{"order mark", "\xef\xbb\xbf{}", "Invalid JSON at line 1, column 1 (byte 0)"},
		{"null", ` null`, "not a JSON object"},
		{"word", `hello`, "Invalid JSON at line 1, column 1 (byte 0): invalid character 'h' at start of value."},
		{"ends", `{"name":"Zo`, "ends in the middle at line 1, column 12 (byte 11); send all of it"},
		{"missing comma", "{\n \"name\": \"Zoë\" \"email\":1}",
			"at line 2, column 16 (byte 18): invalid character '\"' after object value (expecting ',' or '}')"},
		{"missing colon", `{"name" "a"}`, "at line 1, column 9 (byte 8): invalid character '\"' after object name (expecting ':')"},
		{"trailing comma", `{"name":"a",}`, "at line 1, column"},
		{"control character", "{\"name\":\"a\nb\"}", "at line 1, column 11 (byte 10): invalid character '\\n' in string"},
		{"comment", "{} // so", "invalid character '/' after top-level value"},
		{"two documents", `{} {}`, "invalid character '{' after top-level value"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "at line 1, column 10 (byte 9): invalid UTF-8"},
		{"lone surrogate", `{"name":"\ud800"}`, "invalid surrogate pair"},
		{"lone surrogate in a name", `{"\ud800":1}`, "invalid surrogate pair"},
		{"bad escape", `{"name":"\x"}`, "invalid escape sequence"},
		{"deep at the top", deep, "not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := read(c.body)
			require.NotNil(t, p)
			assert.Equal(t, 400, p.Status)
			assert.Equal(t, typeJSON, p.Type)
			assert.Contains(t, p.Detail, c.want)
		})
	}
	_, p := read(`{"drinksList":["a","b","\ud800"]}`)
	assert.Equal(t, "/drinksList/2 cannot be read", pointers(p))
	for _, body := range []string{`{"name":` + deep, `{"x":` + deep, `{"x":` + strings.Repeat(`{"a":`, 10_000), `{"stops":` + deep} {
		_, p := read(body)
		require.NotNil(t, p, "nested deeply")
		assert.Equal(t, 400, p.Status)
	}
}

func TestDecodeOfText(t *testing.T) {
	var o order
	require.NoError(t, Decode([]byte(`{"name":"a"}`), &o))
	assert.Equal(t, "a", o.Name)
	var e *events.Error
	require.ErrorAs(t, Decode([]byte(`{"name":1,"x":2}`), &o), &e)
	assert.Equal(t, events.Invalid, e.Kind)
	assert.Len(t, e.Fields, 1)
	assert.ErrorContains(t, Decode([]byte(`{`), &o), "ends in the middle")
}

// Every accepted body is accepted by encoding/json too, with the same meaning.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a","drinksList":["b"],"count":1,"urgent":false}`, `{"at":"2026-11-23T06:54:21.123Z","email":null}`,
		`{"where":{"street":"\u00e9\ud83c\udf79"},"stops":[{},{"street":"4"}]}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}",
		`{"Name":1,"name":null}`, `{"x":[[[{"y":[]}]]]}`, `{"name":"a","name":"b"}`, `{} {}`, `[`, ``, "\xef\xbb\xbf{}",
		`{"at":null}`, ` null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, p := read(body)
		if p != nil {
			if p.Status != 400 || p.Detail == "" || len(p.Errors) > 1 {
				t.Fatalf("problem %+v", p)
			}
			return
		}
		var want order
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", body, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q read as %+v, by encoding/json as %+v", body, got, want)
		}
	})
}
