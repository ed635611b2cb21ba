package events_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/events"
)

func TestLogTextIsBounded(t *testing.T) {
	for _, unit := range []string{"a", "ü", "🥤", "\xff", "a ", "\u009b", " ", "\n\t", "\u202e", "\u200b"} {
		text := strings.Repeat(unit, 1_000_000)
		assert.LessOrEqual(t, len(events.LogID(text)), 4*128)
		assert.LessOrEqual(t, len(events.LogText(text)), 4*2000)
		assert.NotContains(t, events.LogText(text), "\u009b")
	}
	id := strings.Repeat("x", 128)
	assert.Equal(t, id, events.LogID(id))
	assert.Equal(t, id[:127]+"…", events.LogID(id+"x"))
	assert.Equal(t, id, events.LogID(" "+id+"\n\u2028 "), "visible characters are kept")
	assert.Equal(t, "1719400000000-k3j2h1xyz", events.LogID("1719400000000-k3j2h1xyz"))
}

func TestLogAttr(t *testing.T) {
	var b bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: events.LogAttr}))
	logger.Info("x\u009b", "list", []string(nil), "numbers", []int32(nil), "full", []int{1}, "took", 1500*time.Microsecond,
		"text", "a\u009b31m\x7fb ü", "error", errors.New("\u0085"), "none", nil, "n", 7)
	_, line, _ := strings.Cut(b.String(), `"msg":`)
	want := `"x�","list":[],"numbers":[],"full":[1],"took_ms":1.5,"text":"a�31m�b ü","error":"�","none":null,"n":7}` + "\n"
	assert.Equal(t, want, line)
}

func TestRecovered(t *testing.T) {
	raised := func(value any) (p *events.Panic) {
		defer func() { p = events.Recovered(recover()) }()
		if value == nil {
			_ = []int{}[len(t.Name())]
		}
		panic(value)
	}
	p := raised(nil)
	assert.EqualError(t, p, "panic: runtime error: index out of range [13] with length 0")
	assert.Contains(t, string(p.Stack), "TestRecovered")
	for want, value := range map[string]any{"string": "ada@example.com", "*errors.errorString": errors.New("ada@example.com"),
		"int": 7} {
		assert.EqualError(t, raised(value), "panic: a value of type "+want)
	}
	assert.Same(t, p, raised(p), "raised again on another goroutine")
	assert.NotErrorIs(t, p, io.EOF)
	var e runtime.Error
	assert.False(t, errors.As(p, &e))
}
