package deadletters_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What one consumer rejected is redriven for it alone; if it is rejected again it is the same rejection, until it is parked.
func TestRedrive(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		r.fail(errors.New("broken"), "e1", "e3")
		r.write("e0", "s0")
		r.write("e1", "s1")
		r.write("e2", "s2")
		r.write("e3", "s3")
		r.consume("a", "b")
		assert.Equal(t, []string{"0/1 0", "0/3 0"}, r.open())
		shown, err := r.Show(t.Context(), r.topic+"/0/1")
		require.NoError(t, err)
		require.Len(t, shown, 1)
		assert.Equal(t, bus.Exhausted, shown[0].Class)
		assert.Contains(t, string(shown[0].Record.Value), `"e1"`)
		assert.Equal(t, []bus.Header{{Key: "k", Value: []byte("v")}}, shown[0].Record.Headers)

		r.fail(nil, "e1")
		assert.Equal(t, 2, r.preview(deadletters.PreviewOptions{}).Eligible) // an unknown reason may be gone
		assert.Equal(t, "redriven redriven", r.redrive(r.preview(deadletters.PreviewOptions{}).Token))
		assert.Empty(t, r.open())
		_, err = kafka.ReadTopic(t.Context(), r.Cluster, r.Logger, r.topic, nil, nil, func(record bus.Record) error {
			assert.True(t, written.Equal(record.Timestamp), "a copy has the time of its event")
			return nil
		})
		require.NoError(t, err)
		assert.Zero(t, r.preview(deadletters.PreviewOptions{}).Eligible)

		r.consume("a", "b")
		assert.ElementsMatch(t, []string{"e0", "e2", "e1"}, r.handled["a"])
		assert.ElementsMatch(t, []string{"e0", "e1", "e2", "e3"}, r.handled["b"], "copies are for the other consumer")
		assert.Equal(t, []string{"0/3 1"}, r.open())
		for n := range 2 {
			assert.Equal(t, "redriven", r.redrive(r.preview(deadletters.PreviewOptions{}).Token))
			r.consume("a")
			assert.Equal(t, []string{fmt.Sprintf("0/3 %d", n+2)}, r.open())
		}
		p := r.preview(deadletters.PreviewOptions{})
		require.Len(t, p.Refused, 1)
		assert.Contains(t, p.Refused[0].Why, "parked")
		assert.Equal(t, "refused", r.redrive(p.Token))

		require.NoError(t, r.Act(t.Context(), deadletters.Discard, p.Token, deadletters.ActOptions{Who: "me", Reason: "a test",
			Report: func(result deadletters.Result) { assert.Equal(t, "discarded", result.Result) }}))
		assert.Empty(t, r.open())
		all, err := r.List(t.Context(), deadletters.Filter{}, true)
		require.NoError(t, err)
		require.Len(t, all, 2)
		assert.Equal(t, []deadletters.State{deadletters.Redriven, deadletters.Discarded},
			[]deadletters.State{all[0].State, all[1].State})
		assert.True(t, all[1].LastAt.After(all[1].FirstAt))
	})
}

// A token pins its set: neither newcomers nor what was redriven since are redriven by it, nor is anything twice.
func TestTokenPinsItsSet(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		r.fail(errors.New("broken"), "e0", "e1", "e2")
		r.write("e0", "s0")
		r.write("e1", "s1")
		r.consume("a")
		first := r.preview(deadletters.PreviewOptions{})
		r.write("e2", "s2")
		r.consume("a")
		second := r.preview(deadletters.PreviewOptions{})
		assert.Equal(t, []int{2, 3}, []int{first.Eligible, second.Eligible})
		assert.Equal(t, "redriven redriven", r.redrive(first.Token))
		assert.Equal(t, "skipped skipped redriven", r.redrive(second.Token))
		assert.Equal(t, "skipped skipped", r.redrive(first.Token))
		r.fail(nil, "e0", "e1", "e2")
		r.consume("a")
		assert.ElementsMatch(t, []string{"e0", "e1", "e2"}, r.handled["a"])
		middle := len(first.Token) / 2
		other := map[bool]string{true: "x", false: "y"}[first.Token[middle] != 'x']
		for _, token := range []string{"", "abc", first.Token[:len(first.Token)-3],
			first.Token[:middle] + other + first.Token[middle+1:]} {
			_, err := r.try(t.Context(), token)
			assert.Equal(t, events.Invalid, events.KindOf(err))
			assert.Equal(t, events.Invalid, events.KindOf(deadletters.CheckToken(token)))
		}
		assert.NoError(t, deadletters.CheckToken(first.Token))
	})
}

// A token of a few kilobytes may decompress to any size.
func TestTokensAreBounded(t *testing.T) {
	for count, kind := range map[int]events.Kind{10_000_000: events.Unknown, 20_000_000: events.Invalid} {
		token, err := deadletters.TokenOf(count)
		require.NoError(t, err)
		assert.Less(t, len(token), 64<<10)
		assert.Equal(t, kind, events.KindOf(deadletters.CheckToken(token)), count)
	}
}

// A token is of one cluster: at another with as many dead letters it does nothing.
func TestTokenOfAnotherCluster(t *testing.T) {
	t.Parallel()
	var rigs [2]*rig
	for i := range rigs {
		rigs[i] = newRig(t, fake(t).ListenAddrs())
		rigs[i].fail(errors.New("broken"), "e0")
		if i == 1 {
			rigs[1].Topics, rigs[1].topic, rigs[1].group = rigs[0].Topics, rigs[0].topic, rigs[0].group
			_, err := kafka.MakeTopics(t.Context(), rigs[1].Cluster,
				kafka.Topics(events.Definition{Topic: rigs[1].topic, Partitions: 2, Retention: events.Forever})...)
			require.NoError(t, err)
		}
		rigs[i].write("e0", "s0")
		rigs[i].consume("a")
	}
	_, err := rigs[1].try(t.Context(), rigs[0].preview(deadletters.PreviewOptions{}).Token)
	require.ErrorContains(t, err, "not those of the preview")
	assert.Equal(t, []string{"0/0 0"}, rigs[1].open())
}

// A redrive that ends in the middle, by an interrupt or by a second one, is continued by its token without a second copy.
func TestRedriveContinues(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		r.fail(errors.New("broken"), "e0", "e1", "e2")
		for i := range 3 {
			r.write(fmt.Sprintf("e%d", i), fmt.Sprintf("s%d", i))
		}
		r.consume("a")
		token := r.preview(deadletters.PreviewOptions{}).Token

		// One that was killed between its copy and the end of the transaction.
		killed, err := kgo.NewClient(kgo.SeedBrokers(r.Cluster.Brokers...), kgo.TransactionalID("sipeat-dead-letters"),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		require.NoError(t, err)
		defer killed.Close()
		require.NoError(t, killed.BeginTransaction())
		require.NoError(t, killed.ProduceSync(t.Context(), &kgo.Record{Topic: r.topic, Key: []byte("s0"),
			Value: []byte(`{"eventId":"e0","eventType":"thing","data":{"id":"s0"}}`)}).FirstErr())

		ctx, interrupt := context.WithCancel(t.Context())
		var results []string
		err = r.Act(ctx, deadletters.Redrive, token, deadletters.ActOptions{Who: "me", Rate: 10,
			Report: func(result deadletters.Result) {
				results = append(results, result.Result)
				interrupt()
			}})
		require.ErrorContains(t, err, "the same token continues")
		assert.Equal(t, []string{"redriven"}, results)

		var second string
		err = r.Act(t.Context(), deadletters.Redrive, token, deadletters.ActOptions{Who: "me", Rate: 10,
			Report: func(deadletters.Result) {
				if second == "" {
					second = r.redrive(token)
				}
			}})
		require.ErrorContains(t, err, "another redrive or discard has begun")
		assert.NotContains(t, err.Error(), "invalid attempt")
		assert.Equal(t, "skipped redriven redriven", second)

		r.fail(nil, "e0", "e1", "e2")
		r.consume("a")
		assert.ElementsMatch(t, []string{"e0", "e1", "e2"}, r.handled["a"])
		actions, err := r.Audit(t.Context())
		require.NoError(t, err)
		redriven := 0
		for _, a := range actions[len(actions)-3:] {
			assert.Equal(t, "me", a.Who)
			for _, item := range a.Items {
				redriven += item.Redrive
			}
		}
		assert.Equal(t, 3, redriven)
		assert.Contains(t, actions[len(actions)-3].Error, "interrupted")
	})
}

// A redrive ends when the brokers do not answer any more, although the client goes on trying.
func TestRedriveEndsWithoutBrokers(t *testing.T) {
	t.Parallel()
	cluster := fake(t)
	r := newRig(t, cluster.ListenAddrs())
	r.fail(errors.New("broken"), "e0", "e1")
	r.write("e0", "s0")
	r.write("e1", "s1")
	r.consume("a")
	var results []string
	err := r.Act(t.Context(), deadletters.Redrive, r.preview(deadletters.PreviewOptions{}).Token, deadletters.ActOptions{
		Rate: 10, Report: func(result deadletters.Result) { // a batch of one
			results = append(results, result.Result)
			cluster.Close()
			r.SetTransactionTimeout(time.Second) // only now: the brokers are slow beside other tests
		}})
	require.ErrorContains(t, err, "the brokers did not confirm it in time")
	assert.Equal(t, []string{"redriven", "failed"}, results)
}

// ListUpTo ends at its limit and with its context, with what it has found.
func TestListUpTo(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		r.fail(errors.New("broken"), "e0", "e1", "e2")
		for n := range 3 {
			r.write(fmt.Sprintf("e%d", n), fmt.Sprintf("s%d", n))
		}
		r.consume("a")
		for limit, counted := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3} {
			open, complete, err := r.ListUpTo(t.Context(), limit, false)
			require.NoError(t, err)
			groups := deadletters.Groups(open, false, time.Time{})
			require.Len(t, groups, 1)
			assert.Equal(t, counted, groups[0].Count)
			assert.Equal(t, limit >= 3, complete)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		_, complete, err := r.ListUpTo(ended, 9, false)
		require.NoError(t, err)
		assert.False(t, complete)
	})
}

// A preview says why a rejection cannot be redriven.
func TestPreviewRefuses(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		conflict := events.Errorf(events.Conflict, "the id is in use")
		r.fail(errors.New("broken"), "e0", "e5")
		r.fail(conflict, "e1")
		r.fail(events.Errorf(events.Invalid, "no"), "e2")
		r.write("e0", "same")
		r.write("e1", "s1")
		r.write("e2", "s2")
		require.NoError(t, r.kafka.ProduceSync(t.Context(), &kgo.Record{Topic: r.topic, Value: []byte("{")}).FirstErr())
		r.write("e4", "same")
		r.write("e5", "s5")
		r.write("e6", "s5", kgo.RecordHeader{Key: bus.HeaderRedriveConsumer, Value: []byte(r.group["b"])}) // not handled by a
		r.consume("a")
		why := map[string]string{}
		p := r.preview(deadletters.PreviewOptions{})
		for _, refusal := range p.Refused {
			why[strings.TrimPrefix(refusal.ID, r.topic)] = refusal.Why
		}
		assert.Equal(t, 1, p.Eligible)
		assert.Len(t, why, 4)
		assert.Contains(t, why["/0/0"], "a later event of its key was handled, at offset 4")
		assert.Contains(t, why["/0/1"], "rejected again: the id is in use")
		assert.Contains(t, why["/0/2"], "rejected again: no")
		assert.Contains(t, why["/0/3"], "rejected again: not the JSON")

		ctx, interrupt := context.WithCancel(t.Context())
		interrupted := &deadletters.Client{Cluster: r.Cluster, Topics: r.Topics, Logger: r.Logger,
			Check: func(ctx context.Context, group string, record bus.Record) error {
				interrupt()
				return r.Check(ctx, group, record)
			}}
		_, err := interrupted.Preview(ctx, deadletters.Filter{Class: bus.Undecodable}, deadletters.PreviewOptions{})
		require.Equal(t, context.Canceled, err, "not what is wrong with the event")

		r.fail(nil, "e0", "e1", "e2", "e5")
		p = r.preview(deadletters.PreviewOptions{OutOfOrder: true})
		assert.Equal(t, 4, p.Eligible)
		assert.Equal(t, "refused redriven redriven redriven redriven", r.redrive(p.Token))
		r.consume("a")
		assert.ElementsMatch(t, []string{"e4", "e0", "e1", "e2", "e5"}, r.handled["a"])
	})
}

// A redelivery may write the dead letter of one record again, and other programs may write to the topic: neither counts.
func TestRejectionsCountOnce(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		at := time.Now().UTC()
		write := func(offset int64, classes ...bus.Class) {
			record := &kgo.Record{Topic: bus.DeadLetterTopic(r.topic)}
			for _, class := range classes { // a dead letter may be of a dead letter
				at = at.Add(time.Second)
				l := bus.DeadLetter{Record: bus.Record{Topic: r.topic, Offset: offset}, Consumer: "a", Class: class, At: at}
				for _, h := range l.Encode().Headers {
					record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
				}
			}
			require.NoError(t, r.kafka.ProduceSync(t.Context(), record).FirstErr())
		}
		write(1, bus.Panicked)
		write(2, bus.Conflicting)
		write(2, bus.Conflicting)
		write(3, bus.Panicked, bus.Conflicting)
		last := at
		write(4, "<b>")
		write(5)
		rejections, err := r.List(t.Context(), deadletters.Filter{}, false)
		require.NoError(t, err)
		counts := map[bus.Class]int{}
		for _, g := range deadletters.Groups(rejections, false, time.Time{}) {
			counts[g.Class] = g.Count
		}
		assert.Equal(t, map[bus.Class]int{bus.Panicked: 1, bus.Conflicting: 2}, counts)
		assert.Equal(t, time.Second, rejections[1].LastAt.Sub(rejections[1].FirstAt))
		var byID deadletters.Filter
		byID.SetID(r.topic + "/00/01")
		for _, f := range []deadletters.Filter{{Class: bus.Panicked}, byID, {Since: last}, {Consumer: "b"}} {
			matching, err := r.List(t.Context(), f, false)
			require.NoError(t, err)
			if f.Consumer == "" {
				assert.Len(t, matching, 1, "%v", f)
			} else {
				assert.Empty(t, matching)
			}
		}
	})
}

// An event that is rejected again is open again, even by a worker whose clock is behind that of the first one.
func TestRejectedAgainByASlowClock(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		writer, err := kafka.NewDeadLetters(r.Cluster, r.Logger)
		require.NoError(t, err)
		t.Cleanup(writer.Close)
		reject := func(record bus.Record, at time.Time) {
			require.NoError(t, writer.Write(t.Context(),
				bus.DeadLetter{Record: record, Consumer: r.group["a"], Class: bus.Exhausted, Reason: "broken", At: at}))
		}
		r.write("e0", "s0")
		reject(bus.Record{Topic: r.topic, Key: []byte("s0"), Value: event("e0", "s0")}, time.Now())
		assert.Equal(t, "redriven", r.redrive(r.preview(deadletters.PreviewOptions{}).Token))
		_, err = kafka.ReadTopic(t.Context(), r.Cluster, r.Logger, r.topic, map[int32]int64{0: 1}, nil, func(again bus.Record) error {
			reject(again, time.Now().Add(-time.Minute))
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, []string{"0/0 1"}, r.open())
	})
}
