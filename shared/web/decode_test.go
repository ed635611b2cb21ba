package web

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// order has one field of each kind that a body may have.
type order struct {
	events.Request
	Count   int          `json:"count"`
	Small   int8         `json:"small"`
	Size    uint16       `json:"size"`
	Weight  float64      `json:"weight"`
	Urgent  bool         `json:"urgent"`
	At      *events.Time `json:"at"`
	Note    *string      `json:"note"`
	Where   place        `json:"where"`
	Stops   []place      `json:"stops"`
	Table   [][]int      `json:"table"`
	Own     one          `json:"own"`
	private string
	Hidden  string `json:"-"`
}

// one reads itself, and reads only 1.
type one struct{}

func (*one) UnmarshalJSON(b []byte) error {
	if string(b) != "1" {
		return fmt.Errorf("is not 1 but %s", b)
	}
	return nil
}

type place struct {
	Street string `json:"street"`
	Number int    `json:"number"`
}

var orderShape = shapeOf(reflect.TypeFor[order]())

func read(body string) (order, *Problem) {
	var o order
	var r reader
	r.buf.WriteString(body)
	p := r.decode(orderShape, reflect.ValueOf(&o).Elem())
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
	o, p := read(` { "n\u0061me" : "Zo\u00eb \ud83c\udf79 <&>", "drinksList":["Mate",""], "count":-3, "size":65535, "weight":1.5e2,
		"urgent":true, "at":"2026-11-23T06:54:21+01:00", "note":null, "where":{"number":7,"street":"A"}, "stops":[{},{"street":"B"}],
		"table":[[1,2],[],[3]], "own":
		1 } ` + "\r\n\t")
	require.Nil(t, p)
	assert.Equal(t, "Zoë 🍹 <&>", o.Name)
	assert.Equal(t, []string{"Mate", ""}, o.DrinksList)
	assert.Equal(t, -3, o.Count)
	assert.EqualValues(t, 65535, o.Size)
	assert.InDelta(t, 150, o.Weight, 0)
	assert.True(t, o.Urgent)
	assert.Equal(t, "2026-11-23T05:54:21.000Z", o.At.String())
	assert.Nil(t, o.Note)
	assert.Empty(t, o.private)
	assert.Equal(t, place{"A", 7}, o.Where)
	assert.Equal(t, []place{{}, {"B", 0}}, o.Stops)
	assert.Equal(t, [][]int{{1, 2}, {}, {3}}, o.Table)
}

func TestDecodeCollectsFaults(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"unknown", `{"a/b~":{"x":[1,{"y":2}]}}`, "/a~1b~0 is no field of this request; there are name, email, phone, address, city, country, drinksList, machineId, count, small, size, weight, urgent, at, note, where, stops, table, own"},
		{"other case", `{"Email":"x"}`, "/Email is no field of this request; email is, in this case"},
		{"hidden", `{"Hidden":"x"}`, "/Hidden is no field of this request; there are "},
		{"twice", `{"name":"a","n\u0061me":{"b":[]}}`, "/name is there twice; send it once"},
		{"null", `{"name":null}`, "/name is null and must be a string; leave it out"},
		{"null element", `{"drinksList":["a",null]}`, "/drinksList/1 is null and must be a string"},
		{"null list", `{"drinksList":null}`, "/drinksList is null and must be a list"},
		{"null time", `{"at":null,"stops":[null]}`, "/stops/0 is null and must be an object"},
		{"types", `{"name":1,"email":true,"phone":[[[1]]],"drinksList":{"a":1},"count":"1","urgent":0,"where":[],"weight":null}`,
			"/name is a number and must be a string\n/email is true or false and must be a string\n/phone is a list and must be a string\n" +
				"/drinksList is an object and must be a list\n/count is a string and must be a number\n/urgent is a number and must be true or false\n" +
				"/where is a list and must be an object\n/weight is null and must be a number; leave it out if there is nothing to say"},
		{"nested", `{"drinksList":["a","b",3,"c",{"d":4}],"stops":[{"street":1},{"town":2,"number":"3"}],"table":[[1],["2"]]}`,
			"/drinksList/2 is a number and must be a string\n/drinksList/4 is an object and must be a string\n/stops/0/street is a number and must be a string\n" +
				"/stops/1/town is no field of this request; there are street, number\n/stops/1/number is a string and must be a number\n/table/1/0 is a string and must be a number"},
		{"numbers", `{"count":1.0,"small":128,"size":-1,"weight":1e999}`,
			"/count must be a whole number of at most 64 bits, written without fraction and exponent\n/small must be a whole number of at most 8 bits, written without fraction and exponent\n" +
				"/size must be a whole number, not negative, of at most 16 bits, written without fraction and exponent\n/weight is a number that is too large"},
		{"time", `{"at":"yesterday"}`, "/at "},
		{"time of another type", `{"at":{"a":[1]}}`, "/at "},
		{"own reader", `{"own":{"a":[1]}, "count":""}`, "/own is not 1 but {\"a\":[1]}\n/count is a string and must be a number"},
		{"own reader of null", `{"own":null}`, "/own is null and must be a value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := read(c.body)
			require.NotNil(t, p)
			assert.Equal(t, 400, p.Status)
			assert.Equal(t, typeUnreadable, p.Type)
			assert.True(t, strings.HasPrefix(pointers(p), c.want), "want %s\ngot  %s", c.want, pointers(p))
			assert.Equal(t, strings.Count(c.want, "\n"), strings.Count(pointers(p), "\n"), pointers(p))
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxBody-20)
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", "The body is empty"},
		{"blank", " \r\n\t", "The body is empty"},
		{"order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "UTF-16"},
		{"list", `[{}]`, "The body is a list; send a JSON object."},
		{"null", `null`, "The body is null; send"},
		{"string", `"{}"`, "The body is a string"},
		{"word", `hello`, "is no JSON: invalid character 'h' at start of value, at line 1, column 1 (byte 0)."},
		{"ends", `{"name":"Zo`, "ends in the middle; send all of it, at line 1, column 12 (byte 11)"},
		{"ends after name", `{"name"`, "ends in the middle"},
		{"ends after comma", `{"name":"a",`, "ends in the middle"},
		{"ends in a list", `{"drinksList":["a"`, "ends in the middle"},
		{"missing comma", "{\n \"name\": \"Zoë\" \"email\":1}", "invalid character '\"' after object value (expecting ',' or '}'), at line 2, column 16 (byte 18)"},
		{"missing colon", `{"name" "a"}`, "(expecting ':'), at line 1, column 9 (byte 8)"},
		{"missing value", `{"name":}`, "at line 1, column 9 (byte 8)"},
		{"trailing comma", `{"name":"a",}`, "at line 1"},
		{"wrong bracket", `{"drinksList":["a"}`, "at line 1"},
		{"no name", `{[[[[]]]]:1}`, "at line 1, column 2"},
		{"number as name", `{1:1}`, "at line 1, column 2"},
		{"control character", "{\"name\":\"a\nb\"}", "invalid character '\\n' in string (expecting non-control character), at line 1, column 11"},
		{"comment", "{} // so", "goes on at line 1, column 3 (byte 2)"},
		{"two documents", `{} {}`, "goes on at line 1, column 3 (byte 2) after its JSON object has ended; send one object"},
		{"zero byte", "{}\x00", "goes on"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "is not UTF-8; send UTF-8, at line 1, column 10"},
		{"not UTF-8 in an unknown field", "{\"x\":[\"\xc3\x28\"]}", "is not UTF-8"},
		{"overlong", "{\"name\":\"\xc0\xaf\"}", "is not UTF-8"},
		{"surrogate in UTF-8", "{\"name\":\"\xed\xa0\x80\"}", "is not UTF-8"},
		{"lone surrogate", `{"name":"\ud800"}`, "has an escape that is no character"},
		{"lone low surrogate", `{"name":"\udc00x"}`, "has an escape that is no character"},
		{"wrong pair", `{"name":"\ud800\u0041"}`, "has an escape that is no character"},
		{"lone surrogate in a name", `{"\ud800":1}`, "has an escape that is no character"},
		{"bad escape", `{"name":"\x"}`, `invalid escape sequence`},
		{"deep in a field", `{"name":` + deep, "nested too deeply"},
		{"deep in an unknown field", `{"x":` + deep, "nested too deeply"},
		{"deep objects", `{"x":` + strings.Repeat(`{"a":`, 100), "nested too deeply"},
		{"deep in a typed list", `{"table":` + deep, "nested too deeply"},
		{"deep at the top", deep, "The body is a list"},
		{"faults before", `{"x":1,"name":2,`, "ends in the middle"},
		{"NaN", `{"weight":NaN}`, "is no JSON"},
		{"plus", `{"count":+1}`, "is no JSON"},
		{"zeroes", `{"count":007}`, "is no JSON"},
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
	assert.Equal(t, "/drinksList/2", p.Errors[0].Pointer)
}

func TestDecodeBoundsItsAnswer(t *testing.T) {
	var b strings.Builder
	for range 5000 {
		b.WriteString(`"` + strings.Repeat("é", 3) + `":1,`)
	}
	_, p := read("{" + b.String() + `"name":1}`)
	assert.Len(t, p.Errors, maxFaults)
	_, p = read(`{"` + strings.Repeat("é", 20000) + `":1}`)
	assert.LessOrEqual(t, len(p.Errors[0].Pointer), 204)
	_, p = read(`{"drinksList":[` + strings.Repeat("0,", 30000) + "0]}")
	assert.Len(t, p.Errors, maxFaults)
}

func TestReadersAreReusable(t *testing.T) {
	var r reader
	for range 3 {
		for body, ok := range map[string]bool{`{"name":"a"}`: true, `{"x":1}`: false, `{"name":`: false, `{"x":[[[`: false, ``: false, `{}`: true} {
			var o order
			r.buf.Reset()
			r.buf.WriteString(body)
			assert.Equal(t, ok, r.decode(orderShape, reflect.ValueOf(&o).Elem()) == nil, body)
		}
	}
}

func TestShapesRefuseTypes(t *testing.T) {
	type loop struct{ Next []loop }
	twice := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[string](), Tag: `json:"a"`}, {Name: "B", Type: reflect.TypeFor[string](), Tag: `json:"a"`}})
	for name, typ := range map[string]reflect.Type{
		"no struct":     reflect.TypeFor[[]string](),
		"anything":      reflect.TypeFor[struct{ A any }](),
		"map":           reflect.TypeFor[struct{ A map[string]string }](),
		"bytes":         reflect.TypeFor[struct{ A []byte }](),
		"function":      reflect.TypeFor[struct{ A []func() }](),
		"recursive":     reflect.TypeFor[loop](),
		"two of a name": twice,
		"string option": reflect.TypeFor[struct {
			A int `json:",string"`
		}](),
		"embedded pointer":  reflect.TypeFor[struct{ *place }](),
		"own UnmarshalJSON": reflect.TypeFor[struct{ events.Time }](),
	} {
		assert.Panics(t, func() { shapeOf(typ) }, name)
	}
	type outer struct {
		place
		Street int `json:"street"`
	}
	assert.NotPanics(t, func() { shapeOf(reflect.TypeFor[outer]()) }, "an outer field hides an embedded one")
	var o outer
	var r reader
	r.buf.WriteString(`{"number":1,"street":2}`)
	require.Nil(t, r.decode(shapeOf(reflect.TypeFor[outer]()), reflect.ValueOf(&o).Elem()))
	assert.Equal(t, outer{place{"", 1}, 2}, o)
}

func TestDecodeOfText(t *testing.T) {
	var o order
	require.NoError(t, Decode([]byte(`{"name":"a"}`), &o))
	assert.Equal(t, "a", o.Name)
	err := Decode([]byte(`{"name":1,"x":2}`), &o)
	var e *events.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, events.Invalid, e.Kind)
	assert.Len(t, e.Fields, 2)
	assert.ErrorContains(t, Decode([]byte(`{`), &o), "ends in the middle")
}

// Whatever is accepted here, encoding/json accepts too and understands in the same way.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a","drinksList":["b"],"count":1,"small":-1,"size":2,"weight":1e3,"urgent":false}`, `{"at":"2026-11-23T06:54:21.123Z","note":null}`,
		`{"where":{"street":"\u00e9\ud83c\udf79","number":3},"stops":[{},{"number":4}],"table":[[1],[]]}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}",
		`{"Name":1,"name":null}`, `{"x":[[[{"y":[]}]]]}`, `{"name":"a","name":"b"}`, `{} {}`, `[`, ``, "\xef\xbb\xbf{}", `{"note":"x","at":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, p := read(body)
		if p != nil {
			if p.Status != 400 || p.Detail == "" || len(p.Errors) > maxFaults {
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
