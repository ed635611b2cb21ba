package deadletters_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reject has consumer a reject n events, e0 and so on, and then be cured. The value of the large ones leaves their topic no room
// for the headers of a redrive.
func (r *rig) reject(n int, large ...int) (ids []string) {
	r.t.Helper()
	for i := range n {
		id := fmt.Sprintf("e%d", i)
		ids = append(ids, id)
		r.fail(errors.New("broken"), id)
		if !slices.Contains(large, i) {
			r.write(id, "s"+id)
			continue
		}
		padding := fmt.Appendf(nil, `"x":%q,"data"`, strings.Repeat("x", 1_048_400))
		value := bytes.Replace(event(id, "s"+id), []byte(`"data"`), padding, 1)
		record := &kgo.Record{Topic: r.topic, Key: []byte("s" + id), Value: value}
		require.NoError(r.t, r.kafka.ProduceSync(r.t.Context(), record).FirstErr())
	}
	r.consume("a")
	require.Len(r.t, r.open(), n)
	r.fail(nil, ids...)
	return ids
}

// A redrive that is interrupted stops behind a batch. The same token continues, and each event is handled once.
func TestRedriveStopsBehindABatch(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		ids := r.reject(12)
		token := r.preview(deadletters.PreviewOptions{}).Token
		ctx, interrupt := context.WithCancel(t.Context())
		var results []string
		err := r.Act(ctx, deadletters.Redrive, token, deadletters.ActOptions{Rate: 40, Report: func(result deadletters.Result) {
			if results = append(results, result.Result); len(results) == 5 { // the first of the second batch of four
				interrupt()
			}
		}})
		require.ErrorContains(t, err, "interrupted before "+r.topic+"/0/8: the same token continues")
		assert.Equal(t, slices.Repeat([]string{"redriven"}, 8), results)
		assert.Len(t, r.open(), 4)

		continued := slices.Concat(slices.Repeat([]string{"skipped"}, 8), slices.Repeat([]string{"redriven"}, 4))
		assert.Equal(t, strings.Join(continued, " "), r.redrive(token))
		assert.Empty(t, r.open())
		r.consume("a")
		assert.ElementsMatch(t, ids, r.handled["a"])
		copies := map[string]bool{}
		actions, err := r.Audit(t.Context())
		require.NoError(t, err)
		for _, a := range actions[len(actions)-2:] {
			for _, item := range a.Items {
				copies[item.Copy] = true
				assert.Equal(t, 1, item.Redrive)
			}
		}
		assert.Len(t, copies, 12)
	})
}

// Events that leave their topic no room for the headers of a redrive fail, and do not hold up the others of their batch.
func TestRedriveOfEventsThatFillTheirTopic(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		r.reject(8, 0, 2, 4)
		p := r.preview(deadletters.PreviewOptions{})
		require.Equal(t, 8, p.Eligible)
		assert.Equal(t, "failed redriven failed redriven failed redriven redriven redriven", r.redrive(p.Token))
		assert.Equal(t, []string{"0/0 0", "0/2 0", "0/4 0"}, r.open())
		r.consume("a")
		assert.ElementsMatch(t, []string{"e1", "e3", "e5", "e6", "e7"}, r.handled["a"])
	})
}

// The dead letters of a topic may outlive it, and its partitions.
func TestRedriveToAPartitionThatIsGone(t *testing.T) {
	onBrokers(t, func(t *testing.T, r *rig) {
		ids := r.reject(2)
		rejected, err := kafka.NewDeadLetters(r.Cluster, r.Logger)
		require.NoError(t, err)
		defer rejected.Close()
		require.NoError(t, rejected.Write(t.Context(), bus.DeadLetter{Consumer: r.group["a"], Class: bus.Exhausted, At: time.Now(),
			Record: bus.Record{Topic: r.topic, Partition: partitions + 1, Key: []byte("s9"), Value: event("e9", "s9")}}))
		assert.Equal(t, "redriven redriven redriven", r.redrive(r.preview(deadletters.PreviewOptions{}).Token))
		r.consume("a")
		assert.ElementsMatch(t, append(ids, "e9"), r.handled["a"])
		assert.Empty(t, r.open())
	})
}

// A batch is a tenth of what the rate allows in a second.
func TestRateOfARedrive(t *testing.T) {
	t.Parallel()
	r := newRig(t, fake(t).ListenAddrs())
	r.reject(8)
	began, done := time.Now(), 0
	require.NoError(t, r.Act(t.Context(), deadletters.Redrive, r.preview(deadletters.PreviewOptions{}).Token,
		deadletters.ActOptions{Rate: 20,
			Report: func(deadletters.Result) {
				done++
				assert.LessOrEqual(t, float64(done), 2+20*time.Since(began).Seconds())
			}}))
	assert.Equal(t, 8, done)
}
