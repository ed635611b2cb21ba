package trigger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ lambda.Handler = (*trigger.Handler)(nil)

const allWell = `{"batchItemFailures":[]}`

// Handled records are reported to Advance before the response; records returned for retry are not.
func TestAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spans []string
		var fails error
		advance := func(_ context.Context, topic string, from, to map[int32]int64) error {
			for _, p := range []int32{0, 1, 2} {
				if _, ok := to[p]; ok {
					spans = append(spans, fmt.Sprintf("%d: %d-%d", p, from[p], to[p]))
				}
			}
			return fails
		}
		r := newRecorder(t, trigger.Options{Partial: true, Advance: advance}, unless(errDown, "b1", "c1"))
		_, err := r.invoke(30*time.Second, batch(t, "0/5:a1", "0/7:a2", "1/3:a3", "1/4:b1", "1/5:a4", "2/0:c1"))
		require.NoError(t, err)
		assert.Equal(t, []string{"0: 5-8", "1: 3-4"}, spans)
		fails = errDown
		_, err = r.invoke(30*time.Second, batch(t, "0/8:a5"))
		assert.ErrorIs(t, err, errDown)
	})
}

func TestInvoke(t *testing.T) {
	for _, c := range []struct {
		what        string
		handle      func(context.Context, event) error
		refuse      error
		records     []string
		given       []string // back
		deadLetters []string
	}{
		{what: "all well", records: []string{"0/5:a1", "0/6:b1", "3/0:c1"}},
		{what: "no records at all"},
		{what: "one is refused", handle: unless(errNot, "b1"), records: []string{"0/5:a1", "0/6:b1", "0/7:b2"},
			deadLetters: []string{"b1"}},
		{what: "one is conflicting, and stands first", handle: unless(events.Errorf(events.Conflict, "taken"), "a1"),
			records: []string{"0/0:a1"}, deadLetters: []string{"a1"}},
		{what: "one fails again and again", handle: unless(errors.New("?"), "a1"), records: []string{"0/5:a1", "0/6:b1"},
			deadLetters: []string{"a1"}},
		{what: "an outage for the first record", handle: unless(errDown, "a1"), records: []string{"0/0:a1", "0/1:b1"},
			given: []string{"0/0", "0/1"}},
		{what: "an outage in the middle: what is behind comes again too, handled or not", handle: unless(errDown, "b1"),
			records: []string{"0/5:a1", "0/6:b1", "0/9:c1", "0/12:b2"}, given: []string{"0/6", "0/9", "0/12"}},
		{what: "an outage for the last", handle: unless(errDown, "c1"), records: []string{"0/5:a1", "0/6:b1", "0/7:c1"},
			given: []string{"0/7"}},
		{what: "partitions do not hold up each other", handle: unless(errDown, "b1", "d2"),
			records: []string{"0/5:a1", "1/5:b1", "1/6:b2", "2/5:c1", "3/8:d1", "3/9:d2"}, given: []string{"1/5", "1/6", "3/9"}},
		{what: "the dead letter cannot be written", handle: unless(errNot, "b1"), refuse: errDown, records: []string{"0/5:a1",
			"0/6:b1"}, given: []string{"0/6"}},
		{what: "records out of order", handle: unless(errDown, "a2"), records: []string{"1/9:a2", "0/5:c1", "1/8:a1", "0/4:b1"},
			given: []string{"1/9"}},
		{what: "an offset twice", handle: unless(errDown, "b1"), records: []string{"0/5:a1", "0/5:a1", "0/6:b1", "0/6:b1"},
			given: []string{"0/6", "0/6"}},
	} {
		for _, partial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/partial=%t", c.what, partial), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRecorder(t, trigger.Options{Partial: partial}, c.handle)
					r.refuse = c.refuse
					answer, err := r.invoke(30*time.Second, batch(t, c.records...))
					assert.Equal(t, c.deadLetters, r.deadLetters)
					assert.Empty(t, r.overran)
					if len(c.given) == 0 {
						require.NoError(t, err)
						assert.Equal(t, allWell, answer)
						return
					}
					if partial {
						require.NoError(t, err)
						assert.Equal(t, c.given, returned(t, answer))
						return
					}
					require.ErrorContains(t, err, fmt.Sprintf("%d of %d records are not handled", len(c.given), len(c.records)))
					assert.Empty(t, answer)
				})
			})
		}
	}
}

func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, trigger.Options{Partial: true}, unless(errDown, "a1", "b1"))
		answer, err := r.invoke(30*time.Second, batch(t, "0/100:a1", "12/7:b1"))
		require.NoError(t, err)
		assert.Equal(t, `{"batchItemFailures":[{"itemIdentifier":{"partition":"moved-0","offset":100}},`+
			`{"itemIdentifier":{"partition":"moved-12","offset":7}}]}`, answer)
		assert.Contains(t, r.log.String(), "records are returned for retry")

		r = newRecorder(t, trigger.Options{}, unless(errDown, "a1", "b1"))
		_, err = r.invoke(30*time.Second, batch(t, "0/99:c1", "0/100:a1", "0/101:d1", "12/7:b1"))
		require.EqualError(t, err, "3 of 4 records are not handled and must be retried: "+
			"moved-0 from offset 100, moved-12 from offset 7; the log line of an event gives its reason, "+
			"and an event without one was not reached in time")
	})
}

func TestInvokeRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, trigger.Options{Partial: true}, nil)
		other := encode(moved(0, 1, "a1"), bus.Record{Topic: "gone", Partition: 2, Offset: 3})
		for payload, says := range map[string]string{
			string(other): `a record of topic "gone" (partition 2, offset 3), and this function consumes ` +
				`"moved" only`,
			`{"Records":[{"eventSource":"aws:sqs"}]}`: "another trigger invokes this function",
			`{"eventSource":"aws:kafka","records":{"moved-0":[` +
				`{"topic":"moved","partition":0,"offset":0,"value":"e30="},{"topic":"moved","partition":0,"offset":1,` +
				`"value":"!"}]}}`: "a record has a topic",
		} {
			answer, err := r.invoke(time.Minute, []byte(payload))
			require.ErrorContains(t, err, says)
			assert.Empty(t, answer)
		}
		assert.Empty(t, r.began, "nothing of such a batch is handled")
		assert.Empty(t, r.deadLetters)
	})
}

// The engine lives as long as the process.
func TestStallOutlastsInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		r := newRecorder(t, trigger.Options{Partial: true}, func(context.Context, event) error {
			if down {
				return errors.New("an unknown outage")
			}
			return nil
		})
		three := batch(t, "0/0:a1", "0/1:b1", "0/2:c1")
		for range 5 {
			answer, err := r.invoke(30*time.Second, three)
			require.NoError(t, err)
			assert.Equal(t, []string{"0/0", "0/1", "0/2"}, returned(t, answer))
			assert.Empty(t, r.deadLetters, "an outage causes no dead letters")
		}
		down = false
		answer, err := r.invoke(30*time.Second, three)
		require.NoError(t, err)
		assert.Equal(t, allWell, answer)
	})
}
