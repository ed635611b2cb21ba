package cli

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func writeDotenv(t *testing.T, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile(".env", []byte(text), 0o600))
}

// unset unsets a variable until the test ends.
func unset(t *testing.T, name string) {
	t.Setenv(name, "")
	require.NoError(t, os.Unsetenv(name))
}

func TestDotenvErrorsShowNoSecrets(t *testing.T) {
	for name, text := range map[string]string{
		"no name":                 "KAFKA_BROKERS=127.0.0.1:9092\nKAFKA BROKERS\nAUTH_TOKEN=s3cret\n",
		"unterminated quote":      "KAFKA_SASL_USERNAME=sipeat\nKAFKA_SASL_PASSWORD=\"s3cret\n",
		"unterminated at the end": "KAFKA_SASL_PASSWORD='s3cret",
		"NUL":                     "KAFKA_SASL_PASSWORD=s3\x00cret",
	} {
		t.Run(name, func(t *testing.T) {
			writeDotenv(t, text)
			err := loadDotenv()
			require.ErrorContains(t, err, "NAME=value")
			assert.NotContains(t, err.Error(), "s3")
		})
	}
}

func TestDotenvValuesAreLiteral(t *testing.T) {
	for line, want := range map[string]string{
		`S=xTvDqw$27`:        "xTvDqw$27",
		`S="xTvDqw$27"`:      "xTvDqw$27",
		`S='xTvDqw$27'`:      "xTvDqw$27",
		`S=${HOME}/$(PATH)`:  "${HOME}/$(PATH)",
		`S="$HOME" # home`:   "$HOME",
		`S="one\ntwo\$"`:     "one\ntwo$",
		"\ufeffS=after-mark": "after-mark",
	} {
		t.Run(line, func(t *testing.T) {
			writeDotenv(t, line+"\n")
			unset(t, "S")
			require.NoError(t, loadDotenv())
			assert.Equal(t, want, os.Getenv("S"))
		})
	}
}
