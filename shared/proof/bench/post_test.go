package bench

import (
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/require"
)

// BenchmarkPost posts contacts to five processes in turn, each with its own embedded broker that syncs to the disk: `sipeat
// serve`; its API alone, without consumers; the hand-written handler of bare_test.go; that on kfake as it is, which syncs each
// batch by itself (own-); and, by hand, all that serve does with a contact (all-). The clients are in this process and share the
// CPUs with the server. Figures are medians of rounds, in which the five alternate; -x is the ratio to the hand-written handler
// in the same round, -own-x and -all-x to the others. With KAFKA_BROKERS, the API and the hand-written handler on it take part
// too (kafka-).
//
//	go test ./shared/proof/bench -run '^$' -bench Post -benchtime 1x
func BenchmarkPost(b *testing.B) {
	bare, own, all := &side{name: "bare"}, &side{name: "own"}, &side{name: "all"}
	beside := map[string]*side{"x": bare, "own-x": own, "all-x": all}
	sides := []*side{{name: "serve", beside: beside}, {name: "api", beside: beside}, bare, own, all}
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers != "" {
		bare := &side{name: "kafka-bare"}
		sides = append(sides, bare, &side{name: "kafka-api", beside: map[string]*side{"x": bare}})
	}
	for _, s := range sides {
		c := exec.Command(os.Args[0])
		if s.name == "serve" {
			path, err := program.Program()
			require.NoError(b, err)
			c = exec.Command(path, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", b.TempDir())
		}
		kind, onKafka := strings.CutPrefix(s.name, "kafka-")
		c.Env = append(program.CleanEnvironment(), bareEnv+"="+kind+"|"+b.TempDir())
		if onKafka {
			c.Env = append(c.Env, "KAFKA_BROKERS="+brokers)
		}
		p := &program.Serving{Process: program.Start(b, c)}
		p.Ready()
		s.url, s.log = p.URL, p.Stderr
	}
	for round := 0; b.Loop(); round++ {
		for range 5 {
			round++
			for i := range sides {
				s := sides[(i+round)%len(sides)]
				s.p50 = append(s.p50, median(post(b, s.url, 1, 200)))
				began := time.Now()
				const posts = 64 * 25
				post(b, s.url, 64, posts)
				s.posts += posts + 200
				s.rate = append(s.rate, posts/time.Since(began).Seconds())
			}
		}
	}
	b.ReportMetric(float64(len(sides[0].log.String()))/float64(sides[0].posts), "serve-log-B/post")
	for _, s := range sides {
		b.ReportMetric(median(s.p50), s.name+"-p50-ms")
		b.ReportMetric(median(s.rate), s.name+"-posts/s")
		for label, by := range s.beside {
			b.ReportMetric(median(ratios(s.p50, by.p50)), s.name+"-p50-"+label)
			b.ReportMetric(median(ratios(s.rate, by.rate)), s.name+"-rate-"+label)
		}
	}
	b.ReportMetric(0, "ns/op")
}

type side struct {
	name, url string
	beside    map[string]*side // by the labels of the ratios to them
	p50, rate []float64        // by round: ms, posts per second
	log       program.Transcript
	posts     int
}

// post posts from that many clients and returns the duration of each post in ms.
func post(b *testing.B, url string, clients, posts int) []float64 {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var left, refused atomic.Int64
	left.Store(int64(posts))
	took := make([][]float64, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				got, err := client.Post(url+"/contacts", "application/json", strings.NewReader(program.AContact))
				if err != nil {
					refused.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, got.Body)
				got.Body.Close()
				if got.StatusCode != http.StatusAccepted {
					refused.Add(1)
				}
				took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)
			}
		})
	}
	all.Wait()
	require.Zero(b, refused.Load())
	return slices.Concat(took...)
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return r
}
