package program

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Offsets that a group has committed and the log does not hold are reported by doctor, /readyz, the log and the metrics.
func TestLostOffsetsAreReported(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded(t, t.TempDir()).Address())
	const group = "sipeat-contact-consumer"
	offsets := kadm.Offsets{}
	offsets.AddOffset("contact-created", 0, 10, -1)
	require.NoError(t, kadm.NewClient(client(t, f.Brokers)).CommitAllOffsets(Within(t), group, offsets))
	doctor := f.Run("doctor", "--json")
	assert.Equal(t, 1, doctor.Status)
	assert.Contains(t, fmt.Sprint(Decoded[examined](t, doctor.Stdout).Findings),
		"offsets 0 to 9 of contact-created/0 are not in the log any more: they are past the end of the log")

	w := f.Worker("HEALTH=127.0.0.1:0", "METRICS=127.0.0.1:0")
	url := func(path string) string {
		w.Says(w.Stderr, path)
		before, _, _ := strings.Cut(w.Stderr.String(), path)
		return before[strings.LastIndex(before, "http://"):] + path
	}
	readyz, metrics := url("/readyz"), url("/metrics")
	Until(t, func() error { // at first it is 503 because the read model lacks what was committed, or 200 from before the loss
		ready := Call(t, "GET", readyz, "")
		return ErrorUnless(ready.Status == http.StatusServiceUnavailable &&
			strings.Contains(ready.Body, `"lost":[{"partition":0,"from":0,"to":10,`), ready.Body)
	})
	lost, _ := metric(Call(t, "GET", metrics, "").Body,
		fmt.Sprintf(`sipeat_lost_offsets_total{consumer=%q,topic="contact-created"}`, group))
	assert.EqualValues(t, 10, lost)
	assert.Equal(t, 1, strings.Count(w.Stderr.String(), `msg="offsets were lost`))
	assert.Contains(t, w.Stderr.String(), "partition=0 from=0 to=10")
}

// doctor names the settings of a cluster that break a promise.
func TestDoctorNamesSettingsThatBreakAPromise(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"auto.create.topics.enable": "true"}))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	f := &Fleet{t, strings.Join(broker.ListenAddrs(), ","), "none.db"}
	unsafe := map[string]*string{"min.insync.replicas": new("1"), "unclean.leader.election.enable": new("true"),
		"retention.ms": new("604800000"), "retention.bytes": new("1000000")}
	_, err = kadm.NewClient(client(t, f.Brokers)).CreateTopic(Within(t), 6, 3, unsafe, "contact-created")
	require.NoError(t, err)
	require.Zero(t, f.Run("topics").Status)
	doctor := f.Run("doctor", "--json")
	assert.Equal(t, 1, doctor.Status)
	var found []string
	for _, x := range Decoded[examined](t, doctor.Stdout).Findings {
		if x.Part == "topics" {
			found = append(found, x.Subject+" "+x.Says)
			assert.NotEmpty(t, x.Remedy)
		}
	}
	assert.ElementsMatch(t, []string{
		"contact-created min.insync.replicas is 1 and should be 2",
		"contact-created unclean.leader.election.enable is true and should be false",
		"contact-created retention.ms is 604800000 and should be -1",
		"contact-created retention.bytes is 1000000 and should be -1",
		"auto.create.topics.enable is true and should be false",
	}, found)
}
