package events_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/events"
)

// shapes are records of about n bytes, each with much of one thing.
var shapes = map[string]func(n int) string{
	"long text":       func(n int) string { return request1(`"name":"` + strings.Repeat("a", n) + `"`) },
	"escapes":         func(n int) string { return request1(`"name":"` + strings.Repeat(`\u0061`, n/6) + `"`) },
	"quotes":          func(n int) string { return request1(`"name":"` + strings.Repeat(`\"`, n/2) + `"`) },
	"lone surrogates": func(n int) string { return request1(`"name":"` + strings.Repeat(`\ud83e`, n/6) + `"`) },
	"no UTF-8":        func(n int) string { return request1(`"name":"` + strings.Repeat("\xff", n) + `"`) },
	"controls":        func(n int) string { return request1(`"name":"` + strings.Repeat("\u009b", n/2) + `"`) },
	"blanks":          func(n int) string { return request1(`"name":"` + strings.Repeat(" ", n) + `"`) },
	"long id": func(n int) string {
		return strings.Replace(request1(`"name":"x"`), `"r-1"`, `"`+strings.Repeat("r", n)+`"`, 1)
	},
	"long eventId": func(n int) string {
		return strings.Replace(request1(`"name":"x"`), `"e-1"`, `"`+strings.Repeat("e", n)+`"`, 1)
	},
	"long eventType": func(n int) string {
		return strings.Replace(request1(`"name":"x"`), `"request-created"`, `"`+strings.Repeat("e", n)+`"`, 1)
	},
	"long number":   func(n int) string { return request1(`"x":` + strings.Repeat("1", n)) },
	"long list":     func(n int) string { return request1(`"drinksList":["` + strings.Repeat(`a","`, n/4) + `"]`) },
	"unknown list":  func(n int) string { return request1(`"x":[` + strings.Repeat(`0,`, n/2) + `0]`) },
	"empty objects": func(n int) string { return request1(`"x":[` + strings.Repeat(`{},`, n/3) + `0]`) },
	"many members": func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, `"member%d":1,`, i)
		}
		return request1(b.String() + `"x":1`)
	},
	"members repeated": func(n int) string { return request1(strings.Repeat(`"name":"a",`, n/11) + `"x":1`) },
	"unknown repeated": func(n int) string { return request1(strings.Repeat(`"what":"a",`, n/11) + `"x":1`) },
	"data repeated": func(n int) string {
		return strings.Replace(request1(`"x":1`), `{`, `{`+strings.Repeat(`"data":{},`, n/10), 1)
	},
	"list repeated":   func(n int) string { return request1(strings.Repeat(`"drinksList":["a"],`, n/19) + `"x":1`) },
	"members by case": func(n int) string { return request1(strings.Repeat(`"NAME":"a",`, n/11) + `"x":1`) },
	"deep lists":      func(n int) string { return request1(`"x":` + strings.Repeat("[", n/2) + strings.Repeat("]", n/2)) },
	"deep objects": func(n int) string {
		return request1(`"x":` + strings.Repeat(`{"a":`, n/6) + "1" + strings.Repeat("}", n/6))
	},
	"500 deep": func(n int) string {
		return request1(`"x":[` + strings.Repeat(strings.Repeat("[", 500)+strings.Repeat("]", 500)+",", n/1001) + `0]`)
	},
	"deep at the start": func(n int) string { return strings.Repeat("[", n) },
	"space":             func(n int) string { return strings.Repeat(" ", n) + request1(`"name":"x"`) },
	"only space":        func(n int) string { return strings.Repeat(" ", n) },
	"long timestamp":    func(n int) string { return request1(`"timestamp":"` + strings.Repeat("2", n) + `"`) },
	"long fraction": func(n int) string {
		return request1(`"timestamp":"2026-11-23T06:54:21.` + strings.Repeat("2", n) + `Z"`)
	},
	"long e-mail": func(n int) string { return request1(`"email":"` + strings.Repeat("a.", n/2) + `a@example.com"`) },
	"long phone":  func(n int) string { return request1(`"phone":"` + strings.Repeat("1 ", n/2) + `"`) },
	"long name":   func(n int) string { return request1(`"` + strings.Repeat("x", n) + `":1`) },
	"long correlation": func(n int) string {
		return strings.TrimSuffix(request1(`"x":1`), "}") + `,"metadata":{"correlationId":"` + strings.Repeat("c", n) + `"}}`
	},
}

func request1(member string) string {
	return `{"eventId":"e-1","eventType":"request-created","data":{"id":"r-1",` + member + `}}`
}

// work is everything that this package does with a record.
func work(record []byte) {
	e, err := events.Decode[events.RequestCreated](record)
	if err != nil {
		_ = events.LogText(err.Error())
		_ = events.OneLine(string(record), 100)
		return
	}
	_, _ = e.Encode()
	_, _ = e.Digest()
	_, _ = events.EncodePayload(e.Identified().Data)
	if _, err := events.New(e.Data, events.CausedBy(e, "test")); err != nil {
		_ = events.LogText(err.Error())
	}
	for _, text := range append(e.Data.DrinksList, e.Data.Name, e.ID, e.Data.ID, strings.Join(e.Data.DrinksList, ", ")) {
		_, _ = events.OneLine(text, 1000), events.LogID(text)
	}
	_ = events.EscapeControls(record)
}

// No work on a record is worse than linear. 64 times the bytes take about 64 times as long, and over 4,000 times as long where
// the work is quadratic. The bound lies between, with room for a machine that is busy otherwise.
func TestWorkOnARecordIsLinear(t *testing.T) {
	const small, large, factor, floor = 16 << 10, 1 << 20, 1500, time.Second
	fastest := func(record []byte, times int) time.Duration {
		best := time.Hour
		for range times {
			began := time.Now()
			work(record)
			best = min(best, time.Since(began))
		}
		return best
	}
	for name, shape := range shapes {
		few, many := []byte(shape(small)), []byte(shape(large))
		linear := func() bool { return fastest(many, 1) <= max(floor, factor*fastest(few, 5)) }
		ok := false
		for range 3 { // on a busy machine one measurement may be off
			ok = ok || linear()
		}
		assert.True(t, ok, name)
	}
}
