package program

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	top := Run(t, "", "help")
	assert.Equal(t, 0, top.Status)
	assert.Empty(t, top.Stderr)
	for _, name := range []string{"serve", "api", "worker", "topics", "doctor", "publish", "tail", "version"} {
		assert.Contains(t, top.Stdout, "  "+name+" ")
		assert.Contains(t, Run(t, "", name, "--help").Stdout, "Examples:\n  sipeat "+name)
	}
}

func TestVersionNamesTheBuild(t *testing.T) {
	t.Parallel()
	assert.Regexp(t, `^sipeat \S+ (\S+ )?go1\.\S+ \w+/\w+\n$`, Run(t, "", "version").Stdout)
}

func TestCompletionKnowsTheTopics(t *testing.T) {
	t.Parallel()
	assert.Contains(t, Run(t, "", "__complete", "publish", "").Stdout, "contact-created")
}

// Colours and progress are for terminals.
func TestOutputToAPipeIsPlain(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	got := s.publish("contact-created", AContact+"\nx")
	assert.NotContains(t, s.Stdout.String()+s.Stderr.String()+got.Stderr+Run(t, "", "unknown").Stderr, "\x1b")
	assert.NotContains(t, got.Stderr, "\r")
}
