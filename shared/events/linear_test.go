package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/events"
)

// shapes are records with much of one thing, the unit, inside data.
var shapes = []struct{ name, head, unit, tail string }{
	{"long text", `"name":"`, "a", `"`},
	{"escapes", `"name":"`, `\u0061`, `"`},
	{"quotes", `"name":"`, `\"`, `"`},
	{"lone surrogates", `"name":"`, `\ud83e`, `"`},
	{"no UTF-8", `"name":"`, "\xff", `"`},
	{"controls", `"name":"`, "\u009b", `"`},
	{"blanks", `"name":"`, " ", `"`},
	{"long id", `"id":"`, "r", `"`},
	{"long eventId", `"x":1},"eventId":"`, "e", `","y":{"x":1`},
	{"long eventType", `"x":1},"eventType":"`, "e", `","y":{"x":1`},
	{"long correlation", `"x":1},"metadata":{"correlationId":"`, "c", `"`},
	{"long number", `"x":`, "1", ``},
	{"long list", `"drinksList":["`, `a","`, `"]`},
	{"unknown list", `"x":[`, "{},", `0]`},
	{"members repeated", ``, `"name":"a",`, `"x":1`},
	{"unknown members repeated", ``, `"what":"a",`, `"x":1`},
	{"lists repeated", ``, `"drinksList":["a"],`, `"x":1`},
	{"data repeated", `"x":1},`, `"data":{"id":"r"},`, `"y":{"x":1`},
	{"deep", `"x":`, "[", `1`},
	{"500 deep", `"x":[`, strings.Repeat("[", 500) + strings.Repeat("]", 500) + ",", `0]`},
	{"long timestamp", `"timestamp":"2026-11-23T06:54:21.`, "2", `Z"`},
	{"long e-mail", `"email":"`, "a.", `a@example.com"`},
	{"long phone", `"phone":"`, "1 ", `"`},
	{"long name of a member", `"`, "x", `":1`},
}

// work is everything that this package does with a record.
func work(record []byte) {
	_ = events.OneLine(string(record), 100)
	e, err := events.Decode[events.RequestCreated](record)
	if err != nil {
		_ = events.LogText(err.Error())
		return
	}
	_, _ = e.Encode()
	_, _ = e.Digest()
	_, _ = events.EncodePayload(e.Identified().Data)
	_, _ = events.New(e.Data, events.CausedBy(e, "test"))
	for _, text := range append(e.Data.DrinksList, e.Data.Name, e.ID, e.Data.ID) {
		_, _ = events.OneLine(text, 1000), events.LogID(text)
	}
}

// No work on a record is worse than linear. 64 times the bytes take about 64 times as long, and over 4,000 times as long where
// the work is quadratic. The bound lies between, with room for a machine that is busy otherwise.
func TestWorkOnARecordIsLinear(t *testing.T) {
	const small, large, factor, floor = 16 << 10, 1 << 20, 1500, time.Second
	for _, s := range shapes {
		fastest := func(bytes, times int) time.Duration {
			record := []byte(`{"eventId":"e-1","eventType":"request-created","data":{"id":"r-1",` +
				s.head + strings.Repeat(s.unit, bytes/len(s.unit)) + s.tail + `}}`)
			best := time.Hour
			for range times {
				began := time.Now()
				work(record)
				best = min(best, time.Since(began))
			}
			return best
		}
		linear := false
		for range 3 { // on a busy machine one measurement may be off
			linear = linear || fastest(large, 1) <= max(floor, factor*fastest(small, 5))
		}
		assert.True(t, linear, s.name)
	}
}
