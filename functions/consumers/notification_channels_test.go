package consumers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// channels gives the world two notifiers.
func (w *world) channels() (mail, chat *fakeNotifier) {
	mail, chat = &fakeNotifier{}, &fakeNotifier{}
	w.Notifier = notify.Channels{{Name: "smtp", Notifier: mail}, {Name: "discord", Notifier: chat}}
	return mail, chat
}

// Each channel has a claim of its own.
func TestARetryReachesOnlyTheChannelsThatFailed(t *testing.T) {
	w := newWorld(t)
	mail, chat := w.channels()
	mail.err = &events.Error{Kind: events.Unavailable, Message: "down", RetryAfter: time.Minute}
	for range 2 {
		report := w.deliver(t, "notification", []byte(record))
		assert.Equal(t, bus.Unavailable, report.Outcome)
		var e *events.Error
		require.ErrorAs(t, report.Err, &e)
		assert.Equal(t, time.Minute, e.RetryAfter)
	}
	mail.err = nil
	for range 2 {
		assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(record)).Outcome)
	}
	assert.Len(t, mail.messages, 3, "two that failed, one that did not")
	assert.Len(t, chat.messages, 1)
}

// A refusal by one channel waits until the others have delivered, and is then a dead letter.
func TestARefusalWaitsForTheOtherChannels(t *testing.T) {
	w := newWorld(t)
	mail, chat := w.channels()
	mail.err = events.Errorf(events.Invalid, "no such mailbox")
	chat.err = events.Errorf(events.Unavailable, "down")
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, w.deadLetters)

	chat.err = nil
	assert.Equal(t, bus.Rejected, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Len(t, w.deadLetters, 1)
	assert.Len(t, chat.messages, 2)
}

func TestAClaimOfOneChannelDelaysNoOther(t *testing.T) {
	w := newWorld(t)
	mail, chat := w.channels()
	claim, _, err := w.Claims.Claim(t.Context(), "n-1", "smtp", time.Hour)
	require.NoError(t, err)
	require.Equal(t, store.Claimed, claim)
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, mail.messages)
	assert.Len(t, chat.messages, 1)
}

// A rejected notification is noted as failed, with the dead letter's class, by the channels that have not delivered it. It can
// be delivered when its event comes again.
func TestARejectedNotificationIsNotedAsFailed(t *testing.T) {
	w := newWorld(t)
	mail, _ := w.channels()
	states := func() map[string]string {
		known, err := w.Claims.Deliveries(t.Context(), "n-1")
		require.NoError(t, err)
		all := map[string]string{}
		for _, d := range known["n-1"] {
			all[d.Channel] = string(d.State) + " " + d.Class
			assert.Equal(t, d.State == store.Pending, d.At.IsZero())
		}
		return all
	}
	mail.err = events.Errorf(events.Unavailable, "down")
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Equal(t, map[string]string{"smtp": "pending ", "discord": "delivered "}, states())

	mail.err = events.Errorf(events.Invalid, "no such mailbox")
	assert.Equal(t, bus.Rejected, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Equal(t, map[string]string{"smtp": "failed refused", "discord": "delivered "}, states())

	conflict := strings.Replace(record, "Hello", "Other", 1)
	assert.Equal(t, bus.Rejected, w.deliver(t, "notification", []byte(conflict)).Outcome)
	assert.Equal(t, map[string]string{"smtp": "failed refused", "discord": "delivered "}, states(), "of the first event")

	mail.err = nil
	assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Equal(t, map[string]string{"smtp": "delivered ", "discord": "delivered "}, states())
}

func TestADeadLetterWaitsForTheClaims(t *testing.T) {
	w := newWorld(t)
	w.notifier.err = events.Errorf(events.Invalid, "no such mailbox")
	w.Claims = noFail{w.Claims}
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, w.deadLetters)
}

// noFail are claims that are unavailable when one fails.
type noFail struct{ store.Claims }

func (noFail) Fail(context.Context, string, string, string) error {
	return events.Wrap(events.Unavailable, context.DeadlineExceeded, "no database")
}
