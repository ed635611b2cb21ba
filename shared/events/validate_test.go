package events_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// rule is the rule of one field.
type rule struct {
	kind     string // text, prose, token, address, phone, oneof
	max      int    // characters; 0 = another rule bounds it
	optional bool
}

var rules = []struct {
	name   string
	input  func() any // a pointer to an acceptable input
	fields map[string]rule
}{
	{"contact", func() any { v := contact(); return &v }, map[string]rule{
		"name": {"text", 200, false}, "email": {"address", 0, false}, "phone": {"phone", 0, false},
		"message": {"prose", 4000, false}, "companyName": {"text", 200, true}, "machineLocation": {"prose", 400, true},
	}},
	{"machine", func() any { v := machine(); return &v }, map[string]rule{
		"name": {"text", 200, false}, "address": {"prose", 400, false}, "city": {"text", 120, false},
		"country": {"text", 120, false}, "contactName": {"text", 200, false}, "contactEmail": {"address", 0, false},
		"contactPhone": {"phone", 0, false},
	}},
	{"request", func() any { v := request(); return &v }, map[string]rule{
		"name": {"text", 200, false}, "email": {"address", 0, false}, "phone": {"phone", 0, false},
		"address": {"prose", 400, false}, "city": {"text", 120, false}, "country": {"text", 120, false},
		"drinksList/1": {"text", 120, false}, "machineId": {"token", 128, true},
	}},
	{"notice", func() any { v := notice(); return &v }, map[string]rule{
		"type": {"oneof", 0, false}, "message": {"prose", 4000, false}, "recipientEmail": {"address", 0, true},
		"subjectId": {"token", 128, true},
	}},
}

// The texts that every field refuses; breaks are allowed in prose.
var (
	blanks = map[string]string{"spaces": "   ", "NBSP": "\u00a0\u00a0", "zero width": "\u200b\ufeff\u200d", "filler": "\u3164",
		"mark": "\u0301"}
	controls = map[string]string{
		"NUL": "\x00", "bell": "\a", "escape": "\x1b[31m", "DEL": "\x7f", "C1": "\u0085", "CSI": "\u009b", "line separator": "\u2028",
		"paragraph separator": "\u2029", "override": "\u202e", "embedding": "\u202a", "isolate": "\u2066",
	}
	breaks = map[string]string{"LF": "\n", "CRLF": "\r\n", "tab": "\t"}
)

func TestFieldRules(t *testing.T) {
	for _, in := range rules {
		require.Equal(t, len(in.fields), reflect.TypeOf(in.input()).Elem().NumField(), "%s has a field without a rule here", in.name)
		for field, r := range in.fields {
			t.Run(in.name+"/"+field, func(t *testing.T) {
				refused := func(what, value, says string) {
					t.Helper()
					assertFault(t, with(in.input(), field, value), "/"+field, says, what)
				}
				accepted := func(what, value string) {
					t.Helper()
					assert.Empty(t, faultsOf(with(in.input(), field, value)), what)
				}
				if r.kind == "oneof" {
					for _, value := range []string{"", " ", "Contact", "contact,machine", "drink"} {
						refused("other", value, "must be one of: contact, machine, request")
					}
					return
				}
				if r.optional {
					accepted("left out", "")
				} else {
					refused("empty", "", "is required")
				}
				for what, value := range blanks {
					refused(what, value, "is blank")
				}
				sample := textOf(in.input(), field)
				for what, c := range controls {
					refused(what+" inside", sample[:1]+c+sample[1:], "")
					refused(what+" at the end", sample+c, "")
				}
				for what, c := range breaks {
					if r.kind == "prose" {
						accepted(what, "a"+c+"b")
					} else {
						refused(what, sample+c+sample, "")
					}
				}
				refused("no UTF-8", sample+"\xff", "")
				if r.max > 0 {
					for _, letter := range []string{"a", "ü", "界", "🥤"} { // characters, not bytes
						accepted("as long as may be", strings.Repeat(letter, r.max))
						refused("too long", strings.Repeat(letter, r.max+1), fmt.Sprintf("longer than %d characters: shorten it", r.max))
					}
				}
				if r.kind == "token" {
					refused("space", "a b", "must be an id")
					refused("hidden", "a\u200bb", "must be an id")
					accepted("another producer's", "1719400000000-k3j2h1xyz")
				}
				if r.kind == "text" || r.kind == "prose" {
					for _, value := range worldwide {
						accepted("real", value)
					}
				}
			})
		}
	}
}

// worldwide are names of people and places.
var worldwide = []string{
	"Björk Guðmundsdóttir", "毛泽东", "محمد", "נועה", "Nguyễn Thị Minh Khai", "O’Connor-Smith", "X Æ A-12",
	"Ḥasan", "می‌خواهم", // with ZWNJ
	"क्‍ष", "👨‍👩‍👧 family", "Sant'Agata de' Goti",
	"Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch", "Å", "N/A", "1", "<b>Bold & Co.</b>", "\u200fאבג",
}

func TestDrinksList(t *testing.T) {
	list := func(n int) events.Request {
		r := request()
		r.DrinksList = make([]string, n)
		for i := range r.DrinksList {
			r.DrinksList[i] = "Mate"
		}
		return r
	}
	assert.Empty(t, faultsOf(list(1)))
	assert.Empty(t, faultsOf(list(20)))
	assertFault(t, list(0), "/drinksList", "must have 1 to 20 entries", "none")
	assertFault(t, list(21), "/drinksList", "must have 1 to 20 entries", "too many")
	none := request()
	none.DrinksList = nil
	assertFault(t, none, "/drinksList", "must have 1 to 20 entries", "absent")
	blank := list(5)
	blank.DrinksList[3] = " "
	assertFault(t, blank, "/drinksList/3", "is blank", "blank drink")
}

func TestValidateListsAllFaults(t *testing.T) {
	for _, in := range rules {
		empty := reflect.New(reflect.TypeOf(in.input()).Elem())
		var required []string
		for field, r := range in.fields {
			if name, _, list := strings.Cut(field, "/"); !r.optional && list {
				required = append(required, "/"+name)
			} else if !r.optional {
				required = append(required, "/"+field)
			}
		}
		assert.ElementsMatch(t, required, pointersOf(faultsOf(empty.Interface())), in.name)
	}
	several := request()
	several.Email, several.DrinksList[0], several.DrinksList[2], several.MachineID = "secret-value", "", "\x00secret-value",
		"secret-value \n"
	faults := faultsOf(several)
	assert.Equal(t, []string{"/email", "/drinksList/0", "/drinksList/2", "/machineId"}, pointersOf(faults),
		"in the order of the fields")
	assert.NotContains(t, fmt.Sprint(faults), "secret-value")
}

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{" a \t\n b\u2028c\u202ed ", "a b c d"}, {"a\xffb", "a\uFFFDb"}, {"123456789", "1234567…"},
		{"🥤🥤🥤🥤🥤🥤🥤🥤", "🥤🥤🥤🥤🥤🥤🥤🥤"}, {"\x00", ""},
	} {
		assert.Equal(t, c.want, events.OneLine(c.in, 8))
	}
	assert.Equal(t, "👨‍👩‍👧 می‌خواهم", events.OneLine("👨‍👩‍👧 می‌خواهم", 50),
		"joiners stay")
}

// faultsOf are the faults of an event with this input.
func faultsOf(input any) []events.FieldError {
	base := events.Base{ID: "id", Timestamp: events.At(noon)}
	switch v := reflect.Indirect(reflect.ValueOf(input)).Interface().(type) {
	case events.Contact:
		return events.Validate(events.ContactCreated{Base: base, Contact: v})
	case events.Machine:
		return events.Validate(events.MachineCreated{Base: base, Machine: v})
	case events.Request:
		return events.Validate(events.RequestCreated{Base: base, Request: v})
	case events.Notice:
		return events.Validate(events.Notification{Base: base, Notice: v})
	}
	panic(fmt.Sprintf("no input of an event: %T", input))
}

// assertFault: there is one fault, at the pointer, and its text does not repeat the value.
func assertFault(t *testing.T, input any, pointer, says, what string) {
	t.Helper()
	faults := faultsOf(input)
	if !assert.Len(t, faults, 1, what) {
		return
	}
	assert.Equal(t, pointer, faults[0].Pointer, what)
	assert.Contains(t, faults[0].Detail, says, what)
	assert.Regexp(t, `^[ -~]+$`, faults[0].Detail, "%s: the text is our own", what)
}

func pointersOf(faults []events.FieldError) (at []string) {
	for _, f := range faults {
		at = append(at, f.Pointer)
	}
	return at
}

// with sets the field of that wire name.
func with(input any, name, value string) any {
	fieldOf(input, name).SetString(value)
	return input
}

func textOf(input any, name string) string { return fieldOf(input, name).String() }

func fieldOf(input any, name string) reflect.Value {
	name, index, isList := strings.Cut(name, "/")
	v := reflect.ValueOf(input).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			if isList {
				return v.Field(i).Index(int(index[0] - '0'))
			}
			return v.Field(i)
		}
	}
	panic("no field " + name)
}
