package local

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func configOf(t *testing.T, adm *kadm.Client, topic, key string) string {
	t.Helper()
	rcs, err := adm.DescribeTopicConfigs(t.Context(), topic)
	require.NoError(t, err)
	rc, err := rcs.On(topic, nil)
	require.NoError(t, err)
	for _, c := range rc.Configs {
		if c.Key == key {
			return c.MaybeValue()
		}
	}
	t.Fatalf("%s has no %s", topic, key)
	return ""
}

func TestLaterCatalogueReachesAnOldFolder(t *testing.T) {
	dir := t.TempDir()
	two, four := "2097176", "4194352"
	b := start(t, Options{Dir: dir, Topics: []Topic{
		{Name: "grows", Partitions: 2, Configs: map[string]*string{"max.message.bytes": &two}},
		{Name: "shrinks", Partitions: 3},
	}})
	adm := kadm.NewClient(client(t, b.Address()))
	assert.Equal(t, two, configOf(t, adm, "grows", "max.message.bytes"))
	require.NoError(t, b.Close())

	b = start(t, Options{Dir: dir, Topics: []Topic{
		{Name: "grows", Partitions: 6, Configs: map[string]*string{"max.message.bytes": &four}},
		{Name: "shrinks", Partitions: 1, Configs: map[string]*string{"max.message.bytes": &two}},
		{Name: "new", Partitions: 1},
	}})
	adm = kadm.NewClient(client(t, b.Address()))
	listed, err := adm.ListTopics(t.Context())
	require.NoError(t, err)
	assert.Len(t, listed["grows"].Partitions, 6)
	assert.Len(t, listed["shrinks"].Partitions, 3)
	assert.Len(t, listed["new"].Partitions, 1)
	assert.Equal(t, four, configOf(t, adm, "grows", "max.message.bytes"))
	assert.Equal(t, two, configOf(t, adm, "shrinks", "max.message.bytes"))
	require.NoError(t, b.Close())

	b = start(t, Options{Dir: dir, Topics: []Topic{
		{Name: "grows", Partitions: 1, Configs: map[string]*string{"max.message.bytes": nil}},
	}})
	adm = kadm.NewClient(client(t, b.Address()))
	assert.Equal(t, "1048588", configOf(t, adm, "grows", "max.message.bytes"), "Kafka's default")
	assert.Len(t, must(adm.ListTopics(t.Context()))["grows"].Partitions, 6)
}

func TestNothingExpires(t *testing.T) {
	week := "604800000"
	b := start(t, Options{Dir: t.TempDir(), Topics: []Topic{
		{Name: "plain", Partitions: 1},
		{Name: "declared", Partitions: 1, Configs: map[string]*string{"retention.ms": &week}},
	}})
	adm := kadm.NewClient(client(t, b.Address()))
	assert.Equal(t, "-1", configOf(t, adm, "plain", "retention.ms"))
	assert.Equal(t, "-1", configOf(t, adm, "plain", "retention.bytes"))
	assert.Equal(t, week, configOf(t, adm, "declared", "retention.ms"), "shown, not carried out")

	brokers, err := adm.DescribeBrokerConfigs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	have := map[string]string{}
	for _, c := range brokers[0].Configs {
		have[c.Key] = c.MaybeValue()
	}
	assert.Equal(t, "3153600000000", have["log.cleaner.backoff.ms"], "the cleaner carries retention out, next in a hundred years")
	assert.Equal(t, "-1", have["log.retention.ms"], "of topics that clients create")
	assert.Equal(t, "52560000", have["offsets.retention.minutes"])
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
