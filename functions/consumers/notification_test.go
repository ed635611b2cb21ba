package consumers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

const record = `{"eventId":"e-1","eventType":"notification",` +
	`"data":{"id":"n-1","type":"contact","message":"Hello","recipientEmail":"a@b.co","subjectId":"c-1"}}`

func TestANotificationIsDeliveredOnce(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(record)).Outcome)
	}
	assert.Equal(t, []notify.Message{{
		ID: "n-1", EventID: "e-1", Type: "contact", SubjectID: "c-1", Recipient: "a@b.co", Text: "Hello",
	}}, w.notifier.messages)
}

func TestANotificationWithoutAnIDIsDeliveredOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		report := w.deliver(t, "notification",
			[]byte(`{"eventId":"1719400000000-k3j2h1xyz","eventType":"notification","data":{"type":"contact","message":"Hello"}}`))
		assert.Equal(t, bus.Done, report.Outcome)
	}
	require.Len(t, w.notifier.messages, 1)
	assert.Equal(t, "1719400000000-k3j2h1xyz", w.notifier.messages[0].ID)
	_, err := w.model.Get(t.Context(), "notification", "1719400000000-k3j2h1xyz")
	assert.NoError(t, err)
}

// Equal messages under different event ids are different notifications.
func TestEqualNotificationsAreDeliveredEach(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"1719400000000-a", "1719400000000-b"} {
		report := w.deliver(t, "notification",
			[]byte(`{"eventId":"`+id+`","eventType":"notification","data":{"type":"contact","message":"Hello"}}`))
		assert.Equal(t, bus.Done, report.Outcome)
	}
	assert.Len(t, w.notifier.messages, 2)
}

func TestAClaimIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, store.Claimed, w.claim(t, ""))
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, w.notifier.messages)

	require.NoError(t, w.Claims.Release(t.Context(), "n-1", ""))
	assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Len(t, w.notifier.messages, 1)
}

// A sender that is killed delays its notification until its lease ends, and no longer.
func TestTheLeaseOfAKilledSenderIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 35 * time.Second
		killed := time.Now()
		w := &world{notifier: &fakeNotifier{}}
		w.Consumers = consumers.Consumers{Notifier: notify.Channels{{Notifier: w.notifier}}, Store: noModel{},
			Claims: &leased{until: killed.Add(lease)}}
		c := w.function(t, "notification").Consumer
		partition := bus.NewEngine(c, w, bus.Options{}).Open(t.Context(), 0, time.Time{}, nil)
		defer partition.Close(t.Context())
		partition.Deliver([]bus.Record{{Topic: c.Topic, Value: []byte(record), Timestamp: noon}})
		require.NoError(t, partition.Wait(t.Context()))
		assert.Len(t, w.notifier.messages, 1)
		assert.WithinRange(t, time.Now(), killed.Add(lease), killed.Add(lease+time.Second))
	})
}

// noModel stores nothing. It is for synctest bubbles, in which SQLite does not work because it polls the clock.
type noModel struct{ store.Store }

func (noModel) Put(context.Context, store.Item) error { return nil }

// leased is one claim in such a bubble.
type leased struct {
	store.Claims
	until time.Time
}

func (l *leased) Claim(context.Context, string, string, time.Duration) (store.Claim, time.Duration, error) {
	if left := time.Until(l.until); left > 0 {
		return store.Held, left, nil
	}
	return store.Claimed, 0, nil
}

func (l *leased) Complete(context.Context, string, string) error { return nil }

func TestANotifiersErrorKeepsItsMeaning(t *testing.T) {
	for kind, outcome := range map[events.Kind]bus.Outcome{
		events.Invalid: bus.Rejected, events.Unavailable: bus.Unavailable, events.Unknown: bus.Failed,
	} {
		w := newWorld(t)
		failure := errors.New("the notifier's")
		w.notifier.err = events.Wrap(kind, failure, "not sent")
		report := w.deliver(t, "notification", []byte(record))
		assert.Equal(t, outcome, report.Outcome)
		assert.ErrorIs(t, report.Err, failure)
		assert.Equal(t, store.Claimed, w.claim(t, ""), "released")

		w = newWorld(t)
		w.notifier.err, w.claims.failing = events.Wrap(kind, failure, "not sent"), "release"
		report = w.deliver(t, "notification", []byte(record))
		assert.Equal(t, outcome, report.Outcome, "although the claim cannot be released")
		assert.ErrorContains(t, report.Err, "no database", "logged too")
	}
}

// A notifier that panics at a message neither waits for its own lease before each retry nor leaves the delivery pending.
func TestANotifiersPanicReleasesTheClaim(t *testing.T) {
	w := newWorld(t)
	w.notifier.during = func() { panic("canary") }
	report := w.deliver(t, "notification", []byte(record))
	assert.Equal(t, bus.Failed, report.Outcome)
	assert.ErrorContains(t, report.Err, "panic")
	assert.Equal(t, store.Claimed, w.claim(t, ""))
}

func TestAClaimIsCompletedAfterTheDeadline(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.notifier.during = cancel
	e := read("a", events.Notification{Base: base("n-1")})
	require.NoError(t, (&consumers.OnNotification{Consumers: w.Consumers}).React(ctx, e))
	assert.Equal(t, store.Done, w.claim(t, ""))
}

// A process that cannot complete a claim after it has sent the message completes it later and does not send again.
func TestASentMessageIsNotSentAgainWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t)
	consumer := w.function(t, "notification").Consumer
	w.claims.failing = "complete"
	for range 3 {
		assert.Equal(t, bus.Unavailable, w.run(t, consumer, []byte(record)).Outcome)
	}
	w.claims.failing = ""
	for range 2 {
		assert.Equal(t, bus.Done, w.run(t, consumer, []byte(record)).Outcome, "although the lease is still running")
	}
	assert.Len(t, w.notifier.messages, 1)
	assert.Equal(t, store.Done, w.claim(t, ""))
}

func TestANotificationOlderThanClaimsIsNotDelivered(t *testing.T) {
	w := newWorld(t)
	for _, year := range []string{"2024", "2026"} {
		dated := strings.TrimSuffix(record, "}") + `,"metadata":{"timestamp":"` + year + `-11-20T12:00:00.000Z"}}`
		assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(dated)).Outcome)
	}
	assert.Len(t, w.notifier.messages, 1)
}

func TestALeaseOutlastsItsHandler(t *testing.T) {
	w := newWorld(t)
	e := read("a", events.Notification{Base: base("n-1")})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	on := &consumers.OnNotification{Consumers: w.Consumers}
	require.NoError(t, on.React(ctx, e))
	require.NoError(t, on.React(t.Context(), e), "with no deadline at all")
	assert.Greater(t, w.claims.leases[0], 100*time.Second)
	assert.LessOrEqual(t, w.claims.leases[0], 105*time.Second)
	assert.Equal(t, time.Minute, w.claims.leases[1])
}

func TestLongIDsAreDeliveredOnceEach(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		for _, last := range []string{"a", "b"} {
			id := strings.Repeat("i", 511) + last
			report := w.deliver(t, "notification", []byte(`{"eventId":"`+id+`","eventType":"notification","data":{"type":"contact"}}`))
			assert.Equal(t, bus.Done, report.Outcome, "%v", report.Err)
		}
	}
	assert.Len(t, w.notifier.messages, 2)
}

// channels gives the world two notifiers.
func (w *world) channels() (mail, chat *fakeNotifier) {
	mail, chat = &fakeNotifier{}, &fakeNotifier{}
	w.Notifier = notify.Channels{{Name: "smtp", Notifier: mail}, {Name: "discord", Notifier: chat}}
	return mail, chat
}

func TestARetryReachesOnlyTheChannelsThatFailed(t *testing.T) {
	w := newWorld(t)
	mail, chat := w.channels()
	mail.err = events.Errorf(events.Unavailable, "down")
	for range 2 {
		assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
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
	require.Equal(t, store.Claimed, w.claim(t, "smtp"))
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, mail.messages)
	assert.Len(t, chat.messages, 1)
}

// A rejected notification is noted as failed, with the dead letter's class, by the channels that have not delivered it. It can
// be delivered when its event is delivered again.
func TestARejectedNotificationIsNotedAsFailed(t *testing.T) {
	w := newWorld(t)
	mail, _ := w.channels()
	refused, unavailable := events.Errorf(events.Invalid, "no such mailbox"), events.Errorf(events.Unavailable, "down")
	conflict := strings.Replace(record, "Hello", "Other", 1)
	for _, c := range []struct {
		err     error
		record  string
		outcome bus.Outcome
		smtp    string
	}{
		{unavailable, record, bus.Unavailable, "pending "},
		{refused, record, bus.Rejected, "failed refused"},
		{refused, conflict, bus.Rejected, "failed refused"}, // the state of the first event
		{nil, record, bus.Done, "delivered "},
	} {
		mail.err = c.err
		assert.Equal(t, c.outcome, w.deliver(t, "notification", []byte(c.record)).Outcome)
		known, err := w.Claims.Deliveries(t.Context(), "n-1")
		require.NoError(t, err)
		states := map[string]string{}
		for _, d := range known["n-1"] {
			states[d.Channel] = string(d.State) + " " + d.Class
		}
		assert.Equal(t, map[string]string{"smtp": c.smtp, "discord": "delivered "}, states)
	}
}

func TestADeadLetterWaitsForTheClaims(t *testing.T) {
	w := newWorld(t)
	w.notifier.err, w.claims.failing = events.Errorf(events.Invalid, "no such mailbox"), "fail"
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, w.deadLetters)
}

// A rebalance that cancels the writing of a dead letter leaves no claim behind, which would hold up the partition's next owner.
func TestARejectionThatIsCancelledLeavesNoClaim(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.claims.claimed = cancel
	_ = w.Consumers.DeadLetters(w).Write(ctx, bus.DeadLetter{Class: bus.Refused,
		Record: bus.Record{Topic: "notification", Value: []byte(record)}})
	w.claims.claimed = nil
	assert.Equal(t, store.Claimed, w.claim(t, ""))
}
