// Package notifytest tests a notifier against the guarantees of package notify.
package notifytest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// Failures are ways to make the server fail, by the kind of the error that follows and a name.
type Failures map[events.Kind]map[string]func()

// Subject is a notifier and its server, which quotes what it is sent in every refusal.
type Subject struct {
	Notifier  notify.Notifier
	Delivered func() []string // the messages that arrived, as a person would read them
	Failures  Failures
	Hang      func() <-chan struct{} // makes it hang; the channel reports each request
	Secrets   []string               // of the settings
}

const recipient = "canary@recipient.example"

// Message has something in every field.
func Message(id string) notify.Message {
	return notify.Message{
		ID: id, EventID: "e-" + id, Type: "contact", SubjectID: "c-1", Recipient: recipient, Text: "CANARY of a text\nüñí 👋",
	}
}

// Run runs the suite. Each test gets its own subject.
func Run(t *testing.T, open func(*testing.T) Subject) {
	t.Run("a message arrives once and whole, a repeat equal to it", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Notifier.Notify(t.Context(), Message("n-1")))
		require.Len(t, s.Delivered(), 1)
		require.NoError(t, s.Notifier.Notify(t.Context(), Message("n-1")))
		delivered := s.Delivered()
		require.Len(t, delivered, 2)
		assert.Equal(t, delivered[0], delivered[1])
		for _, part := range []string{"CANARY of a text", "üñí 👋", "c-1", "n-1", "contact"} {
			assert.Contains(t, delivered[0], part)
		}
	})
	t.Run("many at the same time", func(t *testing.T) {
		s := open(t)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { assert.NoError(t, s.Notifier.Notify(t.Context(), Message(fmt.Sprint("n-", i)))) })
		}
		all.Wait()
		assert.Len(t, s.Delivered(), 20)
	})
	t.Run("an ended context", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.fails(ctx, t, events.Unavailable, context.Canceled)
		assert.Empty(t, s.Delivered())
	})
	t.Run("a server that hangs", func(t *testing.T) {
		s := open(t)
		requests := s.Hang()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-requests
			cancel()
		}()
		s.fails(ctx, t, events.Unavailable, context.Canceled)
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		s.fails(ctx, t, events.Unavailable, context.DeadlineExceeded)
	})
	for kind, failures := range open(t).Failures {
		for name := range failures {
			t.Run(name, func(t *testing.T) {
				s := open(t)
				s.Failures[kind][name]()
				s.fails(t.Context(), t, kind, nil)
			})
		}
	}
}

// fails delivers a message, which must fail, and whose error must not contain personal data or secrets.
func (s Subject) fails(ctx context.Context, t *testing.T, kind events.Kind, target error) {
	t.Helper()
	err := s.Notifier.Notify(ctx, Message("n-1"))
	require.Error(t, err)
	assert.Equal(t, kind, events.KindOf(err), "%v", err)
	if target != nil {
		require.ErrorIs(t, err, target)
	}
	for _, secret := range append([]string{"CANARY", "canary@", recipient, "üñí"}, s.Secrets...) {
		assert.NotContains(t, fmt.Sprintf("%+v", err), secret)
	}
}
