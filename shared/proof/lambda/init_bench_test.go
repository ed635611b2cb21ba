package lambda

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/cli/clitest"
	"github.com/stretchr/testify/require"
)

// BenchmarkLambdaInit answers what a cold start costs: the time from starting a Lambda binary until it asks the Runtime API
// for its first invocation. Each side's is measured beside a function that does nothing and beside one written by hand
// with the same clients (testdata), in turn; "x-hello" and "x-hand" are the ratios of the medians.
//
//	go test ./shared/proof/lambda -run '^$' -bench LambdaInit -benchtime 40x
func BenchmarkLambdaInit(b *testing.B) {
	environment := []string{"KAFKA_BROKERS=127.0.0.1:1", "TABLE_NAME=sipeat"}
	hello, err := byHand("hello")
	require.NoError(b, err)
	for _, side := range []struct{ name, function string }{
		{"commands", "create-contact"}, {"queries", "get-contact"}, {"consumers", "contact-created"},
	} {
		b.Run(side.name, func(b *testing.B) {
			ours, err := lambdaBinaries[side.name]()
			require.NoError(b, err)
			hand, err := byHand(side.name)
			require.NoError(b, err)
			paths := []string{hello, hand, ours}
			took := make([][]float64, len(paths)) // ms
			for b.Loop() {
				for i, path := range paths {
					l := startBinary(b, path, side.function, environment...)
					took[i] = append(took[i], l.init.Seconds()*1e3)
					l.Kill()
				}
			}
			b.ReportMetric(0, "ns/op") // of the three together: says nothing
			b.ReportMetric(median(took[2]), "init-ms")
			b.ReportMetric(median(took[2])/median(took[0]), "x-hello")
			b.ReportMetric(median(took[2])/median(took[1]), "x-hand")
			for i, name := range []string{"hello-KB", "hand-KB", "KB"} {
				info, err := os.Stat(paths[i])
				require.NoError(b, err)
				b.ReportMetric(float64(info.Size())/1024, name)
			}
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func byHand(name string) (path string, err error) {
	if _, err := clitest.Program(); err != nil { // it makes the folder
		return "", err
	}
	return buildLambda("./testdata/"+name, filepath.Join(clitest.Built, "by-hand-"+name))
}

// BenchmarkLambdaFirstPublish answers how long a caller waits who meets a cold function, its init aside: the first invocation
// of create-contact after the init, with an embedded broker, beside the one written by hand with a linger of 0, in turn.
//
//	go test ./shared/proof/lambda -run '^$' -bench LambdaFirstPublish -benchtime 40x
func BenchmarkLambdaFirstPublish(b *testing.B) {
	broker := topicsAt(b, b.TempDir(), "127.0.0.1:0")
	ours, err := lambdaBinaries["commands"]()
	require.NoError(b, err)
	hand, err := byHand("commands")
	require.NoError(b, err)
	paths := []string{hand, ours}
	took := make([][]float64, len(paths))
	payload := lambdaSample(b, "create-contact")
	for b.Loop() {
		for i, path := range paths {
			l := startBinary(b, path, "create-contact", "KAFKA_BROKERS="+broker.Address())
			begun := time.Now()
			answered := l.invoke(payload, time.Minute).http(b)
			took[i] = append(took[i], time.Since(begun).Seconds()*1e3)
			require.Equal(b, http.StatusAccepted, answered.StatusCode, answered.Body)
			l.Kill()
		}
	}
	b.ReportMetric(0, "ns/op") // of both together: says nothing
	b.ReportMetric(median(took[1]), "ms")
	b.ReportMetric(median(took[1])/median(took[0]), "x-hand")
}
