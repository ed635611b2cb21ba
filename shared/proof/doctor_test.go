package proof

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServersRefuseToStart: exit status 1 and a message that says what to do, before anything says ready.
func TestServersRefuseToStart(t *testing.T) {
	t.Parallel()
	broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	empty := &fleet{t, broker.Address(), filepath.Join(t.TempDir(), "read-model.db")}
	nobody := &fleet{t, dead(t), empty.store}
	for _, name := range []string{"api", "worker"} {
		missing := empty.run(name)
		assert.Equal(t, 1, missing.status, name)
		assert.Empty(t, missing.stdout)
		assert.Contains(t, missing.stderr, "there is no topic")
		assert.Contains(t, missing.stderr, "sipeat topics")
	}
	for _, arguments := range [][]string{{"api"}, {"worker"}, {"topics"}, {"topics", "--check"}, {"publish", "contact-created"}, {"tail", "contact-created"}} {
		alone := nobody.run(arguments...)
		assert.Equal(t, 1, alone.status, arguments)
		assert.Empty(t, alone.stdout)
		assert.Contains(t, alone.stderr, nobody.brokers)
		assert.Contains(t, alone.stderr, "no broker answers")
		assert.Less(t, alone.took, 15*time.Second)
	}
	f := newFleet(t, broker.Address())
	short := command(t, "worker")
	short.Env = append(short.Env, "KAFKA_BROKERS="+f.brokers, "STORE="+filepath.Join(t.TempDir(), "none", "x.db"))
	folder := finish(t, short, "")
	assert.Equal(t, 1, folder.status)
	assert.Contains(t, folder.stderr, "STORE")
	for says, arguments := range map[string][]string{
		"0.0.0.0": {"api", "--http", "0.0.0.0:0"}, "contact-deleted": {"worker", "--only", "contact-deleted"}, "--replication": {"topics", "--replication", "-1"},
	} {
		wrong := f.run(arguments...)
		assert.Equal(t, 2, wrong.status, arguments)
		assert.Contains(t, wrong.stderr, says)
	}
}

// TestServersThatAreEndedWhileTheyStart end in order: at once, whatever they wait for, and with the status of all that do.
func TestServersThatAreEndedWhileTheyStart(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"api", "--http", "127.0.0.1:0"}, {"worker"}} {
		for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { silent.Close() })
			c := command(t, arguments...)
			c.Env = append(c.Env, "KAFKA_BROKERS="+silent.Addr().String(), "STORE="+filepath.Join(t.TempDir(), "read-model.db"))
			s := start(t, c)
			conn, err := silent.Accept() // it asks who is there, and nobody answers
			require.NoError(t, err)
			defer conn.Close()
			asked := time.Now()
			s.signal(signal)
			assert.Equal(t, 0, s.wait(), "%v: %s", arguments, s.stderr)
			assert.Less(t, time.Since(asked), 3*time.Second, "it waits for no answer any longer")
			assert.Empty(t, s.stdout.String())
			assert.NotContains(t, s.stderr.String(), "sipeat: context")
		}
	}
}

func TestTopicsAreMadeOnceAndCompared(t *testing.T) {
	t.Parallel()
	broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0", Topics: []local.Topic{
		{Name: "contact-created", Partitions: 1, Configs: map[string]*string{"retention.ms": new("604800000")}}, // as the old app had it
	}})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	f := &fleet{t, broker.Address(), ""}
	check := f.run("topics", "--check")
	assert.Equal(t, 1, check.status)
	assert.Contains(t, check.stdout, "MISSING")
	all := 2 * len(events.Catalogue()) // with the dead letters
	assert.Contains(t, check.stderr, fmt.Sprintf("%d of %d", all, all))
	made := f.run("topics")
	assert.Equal(t, 0, made.status, made.stderr)
	assert.Regexp(t, `(?m)^machine-created +6 +1 +for ever +1048588 +created$`, made.stdout)
	assert.Regexp(t, `(?m)^machine-created\.dead-letters +6 +1 +for ever +2097176 +created$`, made.stdout)
	assert.Regexp(t, `(?m)^contact-created +1 +1 +7 days .*DIFFERS$`, made.stdout)

	check = f.run("topics", "--check", "--json")
	assert.Equal(t, 1, check.status)
	type difference struct{ Setting, Have, Want, Remedy string }
	var states []struct {
		Topic       string
		Differences []difference
	}
	require.NoError(t, json.Unmarshal([]byte(check.stdout), &states))
	require.Len(t, states, all)
	found := map[string]string{}
	for _, s := range states {
		for _, d := range s.Differences {
			assert.Equal(t, "contact-created", s.Topic)
			assert.NotEmpty(t, d.Remedy)
			found[d.Setting] = d.Have + " for " + d.Want
		}
	}
	assert.Equal(t, "1 for 6", found["partitions"])
	assert.Equal(t, "604800000 for -1", found["retention.ms"])
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	nobody := &fleet{t, dead(t), "none.db"}
	alone := nobody.run("doctor", "--json", "--api", "http://"+dead(t))
	assert.Equal(t, 1, alone.status)
	type finding struct{ Part, Subject, Status, Says, Remedy string }
	report := decoded[struct {
		OK       bool
		Findings []finding
	}](t, alone.stdout)
	assert.False(t, report.OK)
	status := map[string]string{}
	for _, f := range report.Findings {
		status[f.Part] = f.Status
		if f.Status == "wrong" {
			assert.NotEmpty(t, f.Remedy, f.Says)
		}
	}
	assert.Equal(t, map[string]string{
		"kafka": "wrong", "settings": "skipped", "topics": "skipped", "groups": "skipped", "dead letters": "skipped",
		"store": "note", "notify": "ok", "api": "wrong", "containers": "skipped",
	}, status)
	assert.Less(t, alone.took, 20*time.Second)

	s := serve(t, t.TempDir())
	f := &fleet{t, s.kafka, filepath.Join(s.data, "read-model.db")}
	until(t, func() error { // the consumers are joining
		well := f.run("doctor", "--api", s.url)
		return errorUnless(well.status == 0, well.stdout)
	})
	text := f.run("doctor")
	assert.NotContains(t, text.stdout, "\x1b", "colours are for terminals")
	assert.Contains(t, text.stdout, "Stable")
}
