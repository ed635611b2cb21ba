package web

import (
	"reflect"

	"github.com/sipeat/sipeat/shared/events"
)

// Decode reads one JSON object into the struct that into points to, as strictly as [HandleCommand] reads a body, for
// commands that come another way than by HTTP; their size is for the caller to bound. What cannot be read is an Invalid error
// that names every faulty field. It panics on a type that HandleCommand refuses.
func Decode(text []byte, into any) error {
	v := reflect.ValueOf(into).Elem()
	rd := readers.Get().(*reader)
	defer func() {
		if rd.buf.Cap() <= 4*maxBody { // a rare large one is not kept for ever
			readers.Put(rd)
		}
	}()
	rd.buf.Reset()
	rd.buf.Write(text)
	if p := rd.decode(shapeOf(v.Type()), v); p != nil {
		return &events.Error{Kind: events.Invalid, Message: p.Detail, Fields: p.Errors}
	}
	return nil
}
