package events

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Panic is a panic as an error. Text holds no payload: it is the text of a runtime error, and only the type of any other
// value, whose text could repeat what an event or a request says.
type Panic struct {
	Text  string
	Stack []byte // of the goroutine that panicked
}

func (p *Panic) Error() string { return p.Text }

// Recovered makes an error of what recover returned. Call it in the deferred function itself, where the stack is still that
// of the panic.
func Recovered(value any) *Panic {
	switch v := value.(type) {
	case *Panic: // raised again on another goroutine
		return v
	case runtime.Error:
		return &Panic{"panic: " + v.Error(), debug.Stack()}
	}
	return &Panic{fmt.Sprintf("panic: a value of type %T", value), debug.Stack()}
}
