// Package notifytest holds a notifier to what package notify promises.
package notifytest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// Subject is a notifier, and the server of the test behind it, which quotes what it is sent wherever it refuses.
type Subject struct {
	Notifier notify.Notifier
	Told     func() []string        // what has arrived, as a person would read it
	Outages  map[string]func()      // each puts the server out of order in one way
	Refusals map[string]func()      // each makes it refuse what the message is, for good
	Unclear  map[string]func()      // each makes it refuse, and not say whose fault it is
	Hang     func() <-chan struct{} // makes it answer no more; the channel tells that it has been asked
	Secrets  []string               // what stands in the settings and nowhere else
}

const (
	canary    = "CANARY of a text"
	recipient = "canary@recipient.example"
)

// Message is one with something in every field.
func Message(id string) notify.Message {
	return notify.Message{ID: id, EventID: "e-" + id, Type: "contact", SubjectID: "c-1", Recipient: recipient, Text: canary + "\nüñí 👋"}
}

// Run runs the suite. Each test gets a subject of its own.
func Run(t *testing.T, open func(*testing.T) Subject) {
	t.Run("it is told once, and all of it", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Notifier.Notify(t.Context(), Message("n-1")))
		told := s.Told()
		require.Len(t, told, 1)
		for _, part := range []string{canary, "üñí 👋", "c-1", "n-1", "contact"} {
			assert.Contains(t, told[0], part)
		}
	})
	t.Run("a repeat is told again, with the same id", func(t *testing.T) {
		s := open(t)
		for range 2 {
			require.NoError(t, s.Notifier.Notify(t.Context(), Message("n-1")))
		}
		told := s.Told()
		require.Len(t, told, 2)
		assert.Equal(t, told[0], told[1])
	})
	t.Run("many at the same time", func(t *testing.T) { many(t, open(t)) })
	t.Run("a context that has ended", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := s.Notifier.Notify(ctx, Message("n-1"))
		assert.Equal(t, events.Unavailable, events.KindOf(err))
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, s.Told())
	})
	t.Run("a server that does not answer", func(t *testing.T) { hang(t, open(t)) })
	for kind, faults := range map[events.Kind]func(Subject) map[string]func(){
		events.Unavailable: func(s Subject) map[string]func() { return s.Outages },
		events.Invalid:     func(s Subject) map[string]func() { return s.Refusals },
		events.Unknown:     func(s Subject) map[string]func() { return s.Unclear },
	} {
		for _, name := range slices.Sorted(maps.Keys(faults(open(t)))) {
			t.Run(name, func(t *testing.T) {
				s := open(t)
				faults(s)[name]()
				err := s.Notifier.Notify(t.Context(), Message("n-1"))
				require.Error(t, err)
				assert.Equal(t, kind, events.KindOf(err), "%v", err)
				silent(t, s, err)
			})
		}
	}
}

func many(t *testing.T, s Subject) {
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { assert.NoError(t, s.Notifier.Notify(t.Context(), Message(fmt.Sprint("n-", i)))) })
	}
	all.Wait()
	assert.Len(t, s.Told(), 20)
}

func hang(t *testing.T, s Subject) {
	if s.Hang == nil {
		t.Skip("nothing answers here")
	}
	asked := s.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-asked
		cancel()
	}()
	started := time.Now()
	err := s.Notifier.Notify(ctx, Message("n-1"))
	assert.Less(t, time.Since(started), 5*time.Second)
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.Canceled)
	silent(t, s, err)

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = s.Notifier.Notify(ctx, Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	silent(t, s, err)
}

// silent: an error's text holds nothing that is somebody's, however it is printed.
func silent(t *testing.T, s Subject, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), strings.Join(chain(err), "\n")} {
		for _, secret := range append([]string{"CANARY", "canary@", recipient, "üñí"}, s.Secrets...) {
			assert.NotContains(t, text, secret)
		}
	}
}

// chain is the texts of an error and of all that it wraps.
func chain(err error) []string {
	if err == nil {
		return nil
	}
	texts := []string{err.Error()}
	switch e := err.(type) { //nolint:errorlint // one step at a time
	case interface{ Unwrap() error }:
		texts = append(texts, chain(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			texts = append(texts, chain(one)...)
		}
	}
	return texts
}
