package program

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServeRefusesAFolderThatIsInUse(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	second := Run(t, "", "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", s.Data)
	assert.Equal(t, 1, second.Status)
	assert.Empty(t, second.Stdout)
	assert.Contains(t, second.Stderr, "in use by another process")
	assert.Contains(t, second.Stderr, s.Data)
	s.Readable("/contacts", s.Post("/contacts", AContact).ID) // the first has noticed nothing
}

func TestServeRefusesAPortThatIsTaken(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"--http", "--kafka"} {
		address, data := taken(t), t.TempDir()
		arguments := map[string]string{"--http": "127.0.0.1:0", "--kafka": "127.0.0.1:0"}
		arguments[part] = address
		refused := Run(t, "", "serve", "--http", arguments["--http"], "--kafka", arguments["--kafka"], "--data", data)
		assert.Equal(t, 1, refused.Status, part)
		assert.Empty(t, refused.Stdout)
		assert.Contains(t, refused.Stderr, address)
		assert.Contains(t, refused.Stderr, "in use")
		assert.NotContains(t, refused.Stderr, "bind:", "the message is in plain words")
		assert.LessOrEqual(t, len(Lines(refused.Stderr)), 3, refused.Stderr)
		serve(t, data) // and nothing is left that holds the folder
	}
}

// Wrong usage and wrong settings: exit status 2, a reason, and nothing is touched.
func TestServeRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arguments, environment []string
		says                   []string
	}{
		"reachable from other machines":   {arguments: []string{"serve", "--http", "0.0.0.0:0"}, says: []string{"--http", "127.0.0.1"}},
		"broker reachable":                {arguments: []string{"serve", "--kafka", "[::]:0"}, says: []string{"--kafka"}},
		"every interface":                 {arguments: []string{"serve", "--http", ":8080"}, says: []string{"--http", "for example"}},
		"no port":                         {arguments: []string{"serve", "--http", "127.0.0.1"}, says: []string{"--http", "for example"}},
		"port out of range":               {arguments: []string{"serve", "--kafka", "127.0.0.1:70000"}, says: []string{"--kafka", "65535"}},
		"all that is wrong, together":     {arguments: []string{"serve", "--http", "x", "--kafka", "y"}, says: []string{"--http", "--kafka"}},
		"no folder":                       {arguments: []string{"serve", "--data", ""}, says: []string{"--data"}},
		"unknown flag":                    {arguments: []string{"serve", "--htpp", "x"}, says: []string{"--htpp", "sipeat serve --help"}},
		"argument":                        {arguments: []string{"serve", "now"}, says: []string{"now", "sipeat serve --help"}},
		"unknown command":                 {arguments: []string{"sevre"}, says: []string{"sevre", "sipeat --help"}},
		"log level":                       {arguments: []string{"serve"}, environment: []string{"LOG_LEVEL=loud"}, says: []string{"LOG_LEVEL", "debug, info, warn or error"}},
		"brokers":                         {arguments: []string{"tail", "x"}, environment: []string{"KAFKA_BROKERS=kafka"}, says: []string{"KAFKA_BROKERS", "for example"}},
		"address in the environment":      {arguments: []string{"serve"}, environment: []string{"SIPEAT_HTTP=0.0.0.0:1"}, says: []string{"SIPEAT_HTTP"}},
		"brokers by flag":                 {arguments: []string{"tail", "x", "--brokers", "kafka"}, says: []string{"--brokers", "for example"}},
		"publish without a type":          {arguments: []string{"publish"}, says: []string{"sipeat publish --help"}},
		"publish of an unknown type":      {arguments: []string{"publish", "contact-deleted"}, says: []string{"contact-deleted", "sipeat publish --help"}},
		"tail without a topic":            {arguments: []string{"tail"}, says: []string{"sipeat tail --help"}},
		"tail of a negative number":       {arguments: []string{"tail", "x", "-n", "-1"}, says: []string{"-n"}},
		"two faults of the environment":   {arguments: []string{"version"}, environment: []string{"LOG_LEVEL=loud", "KAFKA_BROKERS=:"}, says: []string{"LOG_LEVEL", "KAFKA_BROKERS"}},
		"no such AWS profile":             {arguments: []string{"worker"}, environment: []string{"KAFKA_SASL_MECHANISM=AWS_MSK_IAM", "AWS_PROFILE=nobody"}, says: []string{"nobody", "AWS_PROFILE", "aws configure list-profiles"}},
		"completion for an unknown shell": {arguments: []string{"completion", "tcsh"}, says: []string{"tcsh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := command(t, c.arguments...)
			command.Env = append(command.Env, c.environment...)
			refused := Finish(t, command, "")
			assert.Equal(t, 2, refused.Status, refused.Stdout)
			assert.Empty(t, refused.Stdout)
			for _, text := range c.says {
				assert.Contains(t, refused.Stderr, text)
			}
			entries, err := os.ReadDir(command.Dir)
			require.NoError(t, err)
			assert.Empty(t, entries)
		})
	}
}

func TestServeRefusesAFileItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	refused := Run(t, "", "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", file)
	assert.Equal(t, 1, refused.Status)
	assert.Contains(t, refused.Stderr, file)
}
