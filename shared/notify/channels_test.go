package notify_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
)

type by func(context.Context) error

func (b by) Notify(ctx context.Context, _ notify.Message) error { return b(ctx) }

func failing(err error) by { return func(context.Context) error { return err } }

func deliver(ctx context.Context, channels notify.Channels) error {
	return channels.Each(func(c notify.Channel) error { return c.Notify(ctx, notify.Message{}) })
}

func TestEveryChannelGetsTheMessage(t *testing.T) {
	refused := events.Errorf(events.Invalid, "refused")
	unknown := errors.New("odd")
	down := &events.Error{Kind: events.Unavailable, Message: "down", RetryAfter: time.Second}
	full := &events.Error{Kind: events.Unavailable, Message: "full", EventOnly: true}
	slow := &events.Error{Kind: events.Unavailable, Message: "slow", RetryAfter: time.Minute}
	for _, c := range []struct {
		errs []error
		kind events.Kind
		wait time.Duration
		only bool
		text string
	}{
		{[]error{nil, nil}, "", 0, false, ""},
		{[]error{refused}, events.Invalid, 0, false, "refused"},
		{[]error{nil, refused}, events.Invalid, 0, false, "1 of 2 channels failed: b: refused"},
		{[]error{refused, unknown}, events.Unknown, 0, false, "2 of 2 channels failed: a: refused; b: odd"},
		{[]error{unknown, down, refused}, events.Unavailable, time.Second, false,
			"3 of 3 channels failed: a: odd; b: down; c: refused"},
		{[]error{slow, down}, events.Unavailable, time.Minute, false, "2 of 2 channels failed: a: slow; b: down"},
		{[]error{full, down}, events.Unavailable, time.Second, false, "2 of 2 channels failed: a: full; b: down"},
		{[]error{full, refused}, events.Unavailable, 0, true, "2 of 2 channels failed: a: full; b: refused"},
	} {
		var channels notify.Channels
		for i, err := range c.errs {
			channels = append(channels, notify.Channel{Name: string(rune('a' + i)), Notifier: failing(err)})
		}
		err := deliver(t.Context(), channels)
		if c.text == "" {
			assert.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.text)
		assert.Equal(t, c.kind, events.KindOf(err))
		var e *events.Error
		if len(c.errs) > 1 && assert.ErrorAs(t, err, &e) {
			assert.Equal(t, c.wait, e.RetryAfter)
			assert.Equal(t, c.only, e.EventOnly)
		}
		for _, one := range c.errs {
			if one != nil {
				assert.ErrorIs(t, err, one)
			}
		}
	}
}

func TestAHangingChannelDelaysNoOther(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := deliver(ctx, notify.Channels{
		{Name: "hangs", Notifier: by(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })},
		{Name: "works", Notifier: by(func(context.Context) error { cancel(); return nil })},
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestAPanicOfAChannelReachesTheCaller(t *testing.T) {
	bad := notify.Channel{Name: "bad", Notifier: by(func(context.Context) error { panic("boom") })}
	err := deliver(t.Context(), notify.Channels{{"ok", failing(nil)}, bad})
	require.ErrorAs(t, err, new(*events.Panic))
	assert.Equal(t, events.Unknown, events.KindOf(err))
}

func TestLogHasIDsAndNoText(t *testing.T) {
	var out bytes.Buffer
	l := notify.Log{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	require.NoError(t, l.Notify(t.Context(), notifytest.Message("n-1")))
	assert.Contains(t, out.String(), "type=contact notification_id=n-1 subject_id=c-1 event_id=e-n-1")
	assert.NotContains(t, strings.ToLower(out.String()), "canary")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, events.Unavailable, events.KindOf(l.Notify(ctx, notifytest.Message("n-2"))))
	assert.NotContains(t, out.String(), "n-2")
}
