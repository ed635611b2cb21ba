package proof

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	top := run(t, "", "help")
	assert.Equal(t, 0, top.status)
	assert.Empty(t, top.stderr)
	assert.Equal(t, top.stdout, run(t, "").stdout, "no command at all")
	assert.Equal(t, top.stdout, run(t, "", "--help").stdout)
	for _, name := range []string{"serve", "api", "worker", "topics", "doctor", "publish", "tail", "version"} {
		assert.Contains(t, top.stdout, "  "+name+" ")
		help := run(t, "", name, "--help")
		assert.Equal(t, 0, help.status)
		assert.Contains(t, help.stdout, "Examples:\n  sipeat "+name)
		assert.Equal(t, help.stdout, run(t, "", "help", name).stdout)
	}
	unknown := run(t, "", "help", "sevre")
	assert.Equal(t, 2, unknown.status, "%s%s", unknown.stdout, unknown.stderr)
	assert.Contains(t, unknown.stderr, `unknown command "sevre"; did you mean serve?`)
}

func TestVersionSaysWhatWasBuilt(t *testing.T) {
	t.Parallel()
	text := run(t, "", "version")
	assert.Equal(t, 0, text.status)
	assert.Regexp(t, `^sipeat \S+ (\S+ )?go1\.\S+ \w+/\w+\n$`, text.stdout)
	v := decoded[map[string]string](t, run(t, "", "version", "--json").stdout)
	for _, field := range []string{"version", "go", "platform"} {
		assert.NotEmpty(t, v[field], field)
	}
}

// Each script loads in its shell; bash, which is everywhere, also completes.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := run(t, "", "completion", shell)
		require.Equal(t, 0, script.status, script.stderr)
		file := filepath.Join(t.TempDir(), "sipeat."+shell)
		require.NoError(t, os.WriteFile(file, []byte(script.stdout), 0o600))
		if path, err := exec.LookPath(shell); err == nil {
			out, err := exec.Command(path, "-n", file).CombinedOutput()
			assert.NoError(t, err, "%s: %s", shell, out)
		} else {
			assert.Greater(t, strings.Count(script.stdout, "\n"), 50, shell)
		}
	}
	path, err := program()
	require.NoError(t, err)
	bash := exec.Command("bash", "-c", `source <("$0" completion bash) && complete -p sipeat`, path)
	bash.Env = cleanEnvironment()
	out, err := bash.CombinedOutput()
	assert.NoError(t, err)
	assert.Contains(t, string(out), "__start_sipeat")

	for asked, want := range map[string][]string{
		"ser":      {"serve"},
		"publish ": {"contact-created", "machine-created", "request-created", "notification"},
		"tail ":    {"contact-created", "contact-created.dead-letters"},
	} {
		got := run(t, "", append([]string{"__complete"}, strings.Split(asked, " ")...)...)
		for _, name := range want {
			assert.Regexp(t, `(?m)^`+name+`(\t|$)`, got.stdout)
		}
	}
}

// Nothing is coloured where nobody has a terminal, or where NO_COLOR says so.
func TestOutputIsPlain(t *testing.T) {
	t.Parallel()
	for _, environment := range [][]string{{}, {"NO_COLOR=1", "TERM=xterm-256color"}} {
		for _, arguments := range [][]string{{"help"}, {"version"}, {"sevre"}, {"publish", "--help"}} {
			c := command(t, arguments...)
			c.Env = append(c.Env, environment...)
			got := finish(t, c, "")
			assert.NotContains(t, got.stdout+got.stderr, "\x1b")
		}
		s := launch(t, t.TempDir(), environment...)
		s.ready()
		got := s.publish("contact-created", aContact+"\nx")
		assert.NotContains(t, s.stdout.String()+s.stderr.String()+got.stderr, "\x1b")
		assert.NotContains(t, got.stderr, "\r", "progress is for terminals")
	}
}
