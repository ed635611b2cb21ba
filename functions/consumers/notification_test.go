package consumers_test

import (
	"context"
	"errors"
	"strings"
	"sync"
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

func TestAClaimIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	claim, _, err := w.Claims.Claim(t.Context(), "n-1", "", time.Hour)
	require.NoError(t, err)
	require.Equal(t, store.Claimed, claim)
	assert.Equal(t, bus.Unavailable, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Empty(t, w.notifier.messages)

	require.NoError(t, w.Claims.Release(t.Context(), "n-1", ""))
	assert.Equal(t, bus.Done, w.deliver(t, "notification", []byte(record)).Outcome)
	assert.Len(t, w.notifier.messages, 1)
}

// A sender that is killed delays its notification until its lease ends, and no longer.
func TestTheLeaseOfAKilledSenderIsWaitedFor(t *testing.T) {
	for _, named := range []string{"", "smtp"} {
		synctest.Test(t, func(t *testing.T) {
			const lease = 35 * time.Second
			w := &world{notifier: &fakeNotifier{}}
			w.Consumers = consumers.Consumers{Notifier: w.notifier, Store: noModel{},
				Claims: &leased{until: map[string]time.Time{"n-1/" + named: time.Now().Add(lease)}}}
			mail := w.notifier
			if named != "" {
				mail, _ = w.channels()
			}
			killed := time.Now()
			time.Sleep(10 * time.Second) // its session in the group
			c := w.function(t, "notification").Consumer
			partition := bus.NewEngine(c, w, bus.Options{}).Open(0, nil)
			defer partition.Close(t.Context())
			partition.Deliver([]bus.Record{{Topic: c.Topic, Value: []byte(record), Timestamp: noon}})
			require.NoError(t, partition.Wait(t.Context()))
			assert.Len(t, mail.messages, 1)
			assert.GreaterOrEqual(t, time.Since(killed), lease)
			assert.Less(t, time.Since(killed), lease+time.Second)
		})
	}
}

// noModel keeps nothing, in a bubble of synctest, where SQLite does not work: it polls the clock.
type noModel struct{ store.Store }

func (noModel) Put(context.Context, store.Item) error { return nil }

// leased are the claims in such a bubble.
type leased struct {
	store.Claims
	mu    sync.Mutex
	until map[string]time.Time
	done  sync.Map
}

func (l *leased) Claim(_ context.Context, id, channel string, lease time.Duration) (store.Claim, time.Duration, error) {
	id += "/" + channel
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, done := l.done.Load(id); done {
		return store.Done, 0, nil
	}
	if left := time.Until(l.until[id]); left > 0 {
		return store.Held, left, nil
	}
	l.until[id] = time.Now().Add(lease)
	return store.Claimed, 0, nil
}

func (l *leased) Complete(_ context.Context, id, channel string) error {
	l.done.Store(id+"/"+channel, true)
	return nil
}

func TestANotifiersErrorKeepsItsMeaning(t *testing.T) {
	for kind, outcome := range map[events.Kind]bus.Outcome{
		events.Invalid: bus.Rejected, events.Unavailable: bus.Unavailable, events.Unknown: bus.Failed,
	} {
		for _, releaseFails := range []bool{false, true} {
			w := newWorld(t)
			failure := errors.New("the notifier's")
			w.notifier.err = events.Wrap(kind, failure, "not sent")
			if releaseFails {
				w.Claims = noRelease{w.Claims}
			}
			report := w.deliver(t, "notification", []byte(record))
			assert.Equal(t, outcome, report.Outcome, "%q, release fails: %t", kind, releaseFails)
			assert.ErrorIs(t, report.Err, failure)
			assert.Equal(t, kind, events.KindOf(report.Err))
			if releaseFails {
				assert.ErrorContains(t, report.Err, "no database", "logged too")
				continue
			}
			claim, _, err := w.Claims.Claim(t.Context(), "n-1", "", time.Hour)
			require.NoError(t, err)
			assert.Equal(t, store.Claimed, claim, "released")
		}
	}
}

// noRelease are claims that are unavailable when one is released.
type noRelease struct{ store.Claims }

func (noRelease) Release(context.Context, string, string) error {
	return events.Wrap(events.Unavailable, context.DeadlineExceeded, "no database")
}

func TestAClaimIsCompletedAfterTheDeadline(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.notifier.during = cancel
	e := read("a", events.Notification{Base: base("n-1")})
	require.NoError(t, consumers.OnNotification{Consumers: w.Consumers}.React(ctx, e))
	claim, _, err := w.Claims.Claim(t.Context(), "n-1", "", time.Hour)
	require.NoError(t, err)
	assert.Equal(t, store.Done, claim)
}

// A process that cannot complete a claim after it has sent the message completes it later and does not send again.
func TestASentMessageIsNotSentAgainWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t)
	claims := w.Claims
	w.Claims = noComplete{claims, &w.storeAway}
	w.storeAway = true
	consumer := w.function(t, "notification").Consumer
	for range 3 {
		assert.Equal(t, bus.Unavailable, w.run(t, consumer, []byte(record)).Outcome)
	}
	w.storeAway = false
	for range 2 {
		assert.Equal(t, bus.Done, w.run(t, consumer, []byte(record)).Outcome, "although the lease is still running")
	}
	assert.Len(t, w.notifier.messages, 1)
	claim, _, err := claims.Claim(t.Context(), "n-1", "", time.Hour)
	require.NoError(t, err)
	assert.Equal(t, store.Done, claim)
}

// noComplete are claims that are unavailable when one is completed.
type noComplete struct {
	store.Claims
	away *bool
}

func (s noComplete) Complete(ctx context.Context, id, channel string) error {
	if *s.away {
		return events.Wrap(events.Unavailable, context.DeadlineExceeded, "no database")
	}
	return s.Claims.Complete(ctx, id, channel)
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
	leases := &leases{Claims: w.Claims}
	w.Claims = leases
	e := read("a", events.Notification{Base: base("n-1")})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	require.NoError(t, consumers.OnNotification{Consumers: w.Consumers}.React(ctx, e))
	require.NoError(t, consumers.OnNotification{Consumers: w.Consumers}.React(t.Context(), e), "with no deadline at all")
	assert.Greater(t, leases.asked[0], 100*time.Second)
	assert.LessOrEqual(t, leases.asked[0], 105*time.Second)
	assert.Equal(t, time.Minute, leases.asked[1])
}

type leases struct {
	store.Claims
	asked []time.Duration
}

func (l *leases) Claim(ctx context.Context, id, channel string, lease time.Duration) (store.Claim, time.Duration, error) {
	l.asked = append(l.asked, lease)
	return l.Claims.Claim(ctx, id, channel, lease)
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
