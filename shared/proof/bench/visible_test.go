package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/require"
)

// BenchmarkVisible measures the time from the 202 of a POST until a GET answers 200: with one client, and at 200 posts a second;
// by asking every millisecond, and by one GET that has Prefer: wait. Beside it is the hand-written server of hand_test.go, on
// a broker of the same kind; in DynamoDB it makes all writes that ours makes: those of the notification, and of its delivery.
// Figures are of all rounds, in which the sides alternate.
//
//	go test ./shared/proof/bench -run '^$' -bench Visible -benchtime 5x
func BenchmarkVisible(b *testing.B) {
	b.Run("serve", func(b *testing.B) {
		served := start(b, nil, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", b.TempDir())
		visible(b, side{name: "serve", url: served.URL}, side{name: "hand", url: byHand(b, "hand")})
	})
	brokers, dynamoDB := os.Getenv("KAFKA_BROKERS"), os.Getenv("DYNAMODB_ENDPOINT")
	for _, s := range []struct {
		name, store string
		skip        bool
	}{
		{"sqlite", filepath.Join(b.TempDir(), "model.db"), brokers == ""},
		{"dynamodb", "dynamodb", brokers == "" || dynamoDB == ""},
	} {
		b.Run(s.name, func(b *testing.B) {
			if s.skip {
				b.Skip("set KAFKA_BROKERS, and DYNAMODB_ENDPOINT for a DynamoDB Local")
			}
			settings := []string{"KAFKA_BROKERS=" + brokers, "STORE=" + s.store, "THROTTLE_RATE=off", "THROTTLE_STAFF_RATE=off"}
			kind := "hand"
			if s.store == "dynamodb" {
				kind, settings = "all", append(settings, "DYNAMODB_ENDPOINT="+dynamoDB)
			}
			hand := side{name: "hand", url: byHand(b, kind, settings...)} // creates the topics, too
			api := start(b, settings, "api", "--http", "127.0.0.1:0")
			worker := start(b, settings, "worker")
			worker.Says(worker.Stdout, "ready topics=")
			visible(b, side{name: "servers", url: api.URL}, hand)
		})
	}
}

// start starts the program, and stops it in order at the end of the benchmark: its groups are then free.
func start(b *testing.B, settings []string, arguments ...string) *program.Serving {
	b.Helper()
	path, err := program.Program()
	require.NoError(b, err)
	c := exec.Command(path, arguments...)
	c.Dir, c.Env = b.TempDir(), append(program.CleanEnvironment(), settings...)
	s := &program.Serving{Process: program.Start(b, c)}
	b.Cleanup(func() {
		select {
		case <-s.Ended:
		default:
			s.Stop(syscall.SIGTERM)
		}
	})
	if arguments[0] != "worker" {
		s.Ready()
	}
	return s
}

func byHand(b *testing.B, kind string, settings ...string) string {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(program.CleanEnvironment(), bareEnv+"="+kind+"|"+b.TempDir()), settings...)
	s := &program.Serving{Process: program.Start(b, c)}
	s.Ready()
	return s.URL
}

// visible measures the sides; Prefer is only of the first.
func visible(b *testing.B, ours, hand side) {
	type mode struct {
		name   string
		side   side
		rate   time.Duration // between posts; 0 = one after the other
		prefer string
		took   []float64
	}
	modes := []*mode{
		{name: ours.name, side: ours}, {name: "hand", side: hand}, {name: "prefer", side: ours, prefer: "wait=10"},
		{name: ours.name + "-200/s", side: ours, rate: 5 * time.Millisecond},
		{name: "hand-200/s", side: hand, rate: 5 * time.Millisecond},
		{name: "prefer-200/s", side: ours, rate: 5 * time.Millisecond, prefer: "wait=10"},
	}
	for _, s := range []side{ours, hand} { // warms it up; a consumer may still have to join
		for range 20 {
			_, err := until200(b.Context(), s.url, "")
			require.NoError(b, err)
		}
	}
	for b.Loop() {
		for _, m := range modes {
			const posts = 200
			var mu sync.Mutex
			var all sync.WaitGroup
			next := time.Now()
			one := func() {
				took, err := until200(b.Context(), m.side.url, m.prefer)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					b.Error(m.name, err)
				}
				m.took = append(m.took, took)
			}
			for range posts {
				if m.rate == 0 {
					one()
					continue
				}
				time.Sleep(time.Until(next))
				next = next.Add(m.rate)
				all.Go(one)
			}
			all.Wait()
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, m := range modes {
		slices.Sort(m.took)
		b.ReportMetric(m.took[len(m.took)/2], m.name+"-p50-ms")
		b.ReportMetric(m.took[len(m.took)*99/100], m.name+"-p99-ms")
	}
}

var visitor = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}

// until200 posts a contact and returns the milliseconds from the 202 to the 200 of a GET.
func until200(ctx context.Context, url, prefer string) (ms float64, err error) {
	posted, err := visitor.Post(url+"/contacts", "application/json", strings.NewReader(program.AContact))
	if err != nil {
		return 0, err
	}
	var created program.Accepted
	err = json.NewDecoder(posted.Body).Decode(&created)
	posted.Body.Close()
	if err != nil || posted.StatusCode != http.StatusAccepted {
		return 0, errors.Join(fmt.Errorf("POST answers %d", posted.StatusCode), err)
	}
	began := time.Now()
	for time.Since(began) < time.Minute {
		get, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/contacts/"+created.ID, nil)
		if err != nil {
			return 0, err
		}
		if prefer != "" {
			get.Header.Set("Prefer", prefer)
		}
		got, err := visitor.Do(get)
		if err != nil {
			return 0, err
		}
		got.Body.Close()
		if got.StatusCode == http.StatusOK {
			return float64(time.Since(began).Microseconds()) / 1000, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("contact %s is not readable after a minute", created.ID)
}
