package trace_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
)

const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{valid, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"} {
		p, ok := trace.Parse(s)
		assert.True(t, ok, s)
		assert.Equal(t, trace.Parent(s), p)
		assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", p.TraceID())
		assert.Equal(t, "b7ad6b7169203331", p.SpanID())
	}
	for _, s := range []string{"cc" + valid[2:], "cc" + valid[2:] + "-what comes later"} {
		p, ok := trace.Parse(s)
		assert.True(t, ok, s)
		assert.Equal(t, trace.Parent(valid), p, "a later version is continued as 00")
	}
	for _, s := range []string{
		"", "00", valid[:54], valid + "-", valid + "0", "ff" + valid[2:], "cc" + valid[2:] + "x", "0x" + valid[2:],
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		_, ok := trace.Parse(s)
		assert.False(t, ok, "%q", s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(valid)
	f.Add("cc" + valid[2:] + "-x")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := trace.Parse(s)
		if !ok {
			return
		}
		again, ok := trace.Parse(string(p))
		assert.True(t, ok)
		assert.Equal(t, p, again)
		assert.Len(t, p, len(valid))
	})
}

func TestContext(t *testing.T) {
	t.Parallel()
	_, ok := trace.From(t.Context())
	assert.False(t, ok)
	p, ok := trace.From(trace.With(context.Background(), valid))
	assert.True(t, ok)
	assert.Equal(t, trace.Parent(valid), p)
}
