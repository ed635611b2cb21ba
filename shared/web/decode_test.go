package web

import (
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

// The first field that cannot be read is named by its pointer.
func TestDecodeNamesTheField(t *testing.T) {
	for name, c := range map[string]struct{ body, want, at string }{
		"unknown": {`{"a/b~":{"x":[1,{"y":2}]}}`, "/a~1b~0 is unknown; known are name, email, phone, address, city, country, " +
			"drinksList, machineId, count, urgent, at, where, stops", "at byte 1;"},
		"other case":           {`{"Email":"x"}`, "/Email is unknown; known are name, email", "at byte 1;"},
		"hidden":               {`{"Hidden":"x"}`, "/Hidden is unknown", ""},
		"duplicate":            {`{"name":"a","n\u0061me":{"b":[]}}`, "/name is a duplicate; send it once", "at byte 12;"},
		"number":               {"{\n\"name\":1}", "/name must be a string", "at byte 9;"},
		"object":               {`{"drinksList":{"a":1}}`, "/drinksList must be a list", ""},
		"fraction":             {`{"count":1.5}`, "/count must be a number", ""},
		"entry":                {`{"drinksList":["a","b",3,"c",{"d":4}]}`, "/drinksList/2 must be a string", ""},
		"unknown in an entry":  {`{"stops":[{"street":"a"},{"town":2}]}`, "/stops/1/town is unknown; known are street", ""},
		"time":                 {`{"at":"yesterday"}`, "/at is not an RFC 3339 timestamp, such as ", ""},
		"time of another type": {`{"at":{"a":[1]}}`, "/at must be a string", ""},
		"several":              {`{"x":1,"name":2}`, "/x is unknown", ""},
	} {
		_, p := read(c.body)
		require.NotNil(t, p, name)
		assert.Equal(t, 400, p.Status)
		assert.Equal(t, unreadableFields.Type, p.Type)
		assert.Len(t, p.Errors, 1)
		assert.True(t, strings.HasPrefix(pointers(p), c.want), "want %s\ngot  %s", c.want, pointers(p))
		assert.Contains(t, p.Detail, c.at, name)
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxBody-20)
	for body, want := range map[string]string{
		"":                    "not a JSON object",
		" \r\n\t":             "not a JSON object",
		"\xef\xbb\xbf{}":      "not a JSON object",
		` null`:               "not a JSON object",
		deep:                  "not a JSON object",
		`{"name":"Zo`:         "Invalid JSON at byte 11: unexpected EOF.",
		`{"name":"Zo" "x":1}`: "at byte 13: invalid character '\"' after object value (expecting ',' or '}')",
		`{"name" "a"}`:        "at byte 8: invalid character '\"' after object name (expecting ':')",
		`{"name":"a",}`:       "Invalid JSON at byte",
		"{\"name\":\"a\nb\"}": "at byte 10: invalid character '\\n' in string",
		"{} // so":            "invalid character '/' after top-level value",
		`{} {}`:               "invalid character '{' after top-level value",
		"{\"name\":\"\xff\"}": "at byte 9: invalid UTF-8",
		`{"name":"\ud800"}`:   "invalid surrogate pair",
		`{"\ud800":1}`:        "invalid surrogate pair",
		`{"name":"\x"}`:       "invalid escape sequence",
	} {
		_, p := read(body)
		require.NotNil(t, p, body)
		assert.Equal(t, 400, p.Status)
		assert.Equal(t, invalidJSON.Type, p.Type)
		assert.Contains(t, p.Detail, want)
	}
	for _, body := range []string{`{"name":` + deep, `{"x":` + deep, `{"x":` + strings.Repeat(`{"a":`, 10_000), `{"stops":` + deep} {
		_, p := read(body)
		require.NotNil(t, p, "nested deeply")
		assert.Equal(t, 400, p.Status)
	}
}
