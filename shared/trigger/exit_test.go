package trigger_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const stuckProcess = "TRIGGER_TEST_STUCK"

// TestOverrunExits: by default, a handler that ignores its deadline ends the process before the invocation's
// deadline.
func TestOverrunExits(t *testing.T) {
	if os.Getenv(stuckProcess) != "" {
		h := trigger.New(bus.NewConsumer("movers", func(context.Context, event) error { select {} }), nil,
			trigger.Options{Delivery: bus.Options{Grace: 10 * time.Millisecond}})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := h.Invoke(ctx, batch(t, "0/0:a1"))
		require.NoError(t, err)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestOverrunExits$")
	child.Env = append(os.Environ(), stuckProcess+"=1")
	out := &bytes.Buffer{}
	child.Stdout, child.Stderr = out, out
	exit := &exec.ExitError{}
	require.ErrorAs(t, child.Run(), &exit, "%s", out)
	assert.Equal(t, 1, exit.ExitCode(), "%s", out)
	assert.Contains(t, out.String(), "the process must end")
	assert.NotContains(t, out.String(), "FAIL", "Invoke must not have returned")
}
