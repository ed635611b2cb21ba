package proof

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
		"names no topic": {"worker", "--only", ""}, // what a variable gives that is not set
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

// examined is what doctor says with --json.
type examined struct {
	OK       bool
	Findings []struct {
		Part, Subject, Status, Says, Remedy string
		Classes                             map[string]int
	}
}

// of are the findings of a part, by subject.
func (e examined) of(part string) map[string]string {
	found := map[string]string{}
	for _, f := range e.Findings {
		if f.Part == part {
			found[f.Subject] = f.Status + ": " + f.Says + " -> " + f.Remedy
		}
	}
	return found
}

// TestDoctorNamesAddressesThatLeadNowhere: a cluster that sends its clients to where they cannot go. Nothing else is asked of
// it then, which would only run into the same wall.
func TestDoctorNamesAddressesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host     string
		port     int32
		says     string
		findings int
	}{
		{"kafka.invalid", 9092, "the name is not known here", 2}, {"127.0.0.1", 1, "no broker answers", 2},
	} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			answer := request.ResponseKind().(*kmsg.MetadataResponse)
			broker := kmsg.NewMetadataResponseBroker()
			broker.NodeID, broker.Host, broker.Port = 0, c.host, c.port
			answer.Brokers, answer.ClusterID = append(answer.Brokers, broker), new("advertises")
			return answer, nil, true
		})
		seed, elsewhere := cluster.ListenAddrs()[0], net.JoinHostPort(c.host, fmt.Sprint(c.port))
		f := &fleet{t, seed, filepath.Join(t.TempDir(), "none.db")}
		got := f.run("doctor", "--json")
		assert.Equal(t, 1, got.status)
		report := decoded[examined](t, got.stdout)
		brokers := report.of("kafka")
		require.Len(t, brokers, c.findings, "%v", brokers)
		assert.Contains(t, brokers[seed], "ok: ")
		for _, text := range []string{"wrong: ", "the cluster names this broker", c.says, "advertised.listeners"} {
			assert.Contains(t, brokers[elsewhere], text)
		}
		for _, part := range []string{"settings", "topics", "groups", "dead letters"} {
			assert.Contains(t, report.of(part)[""], "skipped", part)
		}
		assert.Less(t, got.took, 12*time.Second)
	}
}

// TestDoctorSaysWhyEventsWereRejected, and whether people would be told.
func TestDoctorSaysWhyEventsWereRejected(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.kafka)
	for range 2 {
		require.NoError(t, c.ProduceSync(within(t), &kgo.Record{Topic: "contact-created", Value: []byte("poison")}).FirstErr())
	}
	handled(t, s.kafka, groups["contact-created"], "contact-created")
	asked := make(chan string, 9)
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		w.WriteHeader(http.StatusNotFound)
	}))
	defer discord.Close()
	doctor := command(t, "doctor", "--json")
	doctor.Env = append(doctor.Env, "KAFKA_BROKERS="+s.kafka, "STORE="+filepath.Join(s.data, "read-model.db"),
		"NOTIFY=log,discord,smtp", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/canary",
		"SMTP_URL=smtp://"+dead(t), "NOTIFY_FROM=a@example.com", "NOTIFY_TO=b@example.com")
	got := finish(t, doctor, "")
	assert.Equal(t, 1, got.status, got.stderr)
	assert.NotContains(t, got.stdout+got.stderr, "canary")
	report := decoded[examined](t, got.stdout)
	for _, f := range report.Findings {
		if f.Part == "dead letters" {
			assert.Equal(t, "contact-created.dead-letters", f.Subject)
			assert.Equal(t, "note", f.Status)
			assert.Equal(t, "2 rejected events: 2 undecodable", f.Says)
			assert.Equal(t, map[string]int{"undecodable": 2}, f.Classes)
		}
	}
	notify := report.of("notify")
	assert.Contains(t, notify["log"], "ok: ")
	assert.Contains(t, notify["discord"], "wrong: Discord answered 404: the webhook is gone")
	assert.Contains(t, notify["smtp"], "wrong: no connection to the mail server")
	assert.Equal(t, http.MethodGet, <-asked, "nothing is posted")
	assert.Empty(t, asked)
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	nobody := &fleet{t, dead(t), "none.db"}
	alone := nobody.run("doctor", "--json", "--api", "http://"+dead(t))
	assert.Equal(t, 1, alone.status)
	report := decoded[examined](t, alone.stdout)
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
