package vault

import (
	"errors"
	"fmt"
	"os"

	"coffre/handlers/api"
)

// maxPrices bounds the file of prices in bytes.
const maxPrices = 256 << 10

// ReadPrices reads the file with what calls cost organisations. Errors quote nothing of it.
func ReadPrices(path string) (*api.Prices, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("prices: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxPrices {
		return nil, errors.New("prices: it is no file of at most 256 KiB")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("prices: %w", err)
	}
	return api.ParsePrices(text)
}
