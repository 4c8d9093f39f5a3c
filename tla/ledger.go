package tla

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// Record is what TLC found under one configuration, bound to the texts it read.
type Record struct {
	Config  string         `json:"config"`
	Source  string         `json:"source"` // SHA-256 of module and configuration
	States  int            `json:"states"`
	Edges   int            `json:"edges"`
	Depth   int            `json:"depth"` // steps to the farthest state
	Actions map[string]int `json:"actions"`
	Digest  string         `json:"digest"` // of the canonical graph; empty where there is no Go model to compare with
}

const recordsFile = "graphs/graphs.json"

// Records reads the committed records.
func Records(dir string) ([]Record, error) {
	text, err := os.ReadFile(filepath.Join(dir, recordsFile))
	if err != nil {
		return nil, err
	}
	var all []Record
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", recordsFile, err)
	}
	return all, nil
}

// WriteRecords writes them.
func WriteRecords(dir string, all []Record) error {
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordsFile), append(text, '\n'), 0o644)
}

// Source is the hash of the module and the configuration, and of every other module in dir that the module names
// behind EXTENDS or INSTANCE would be part of it; the modules here extend the standard ones only.
func Source(dir string, c Config) (string, error) {
	module, err := os.ReadFile(filepath.Join(dir, c.Module+".tla"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s%s", len(module), module, c.text)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SaveGraph commits a graph to dir, compressed.
func SaveGraph(dir, config string, g *Graph) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	text := enc.EncodeAll(g.Text(), nil)
	if err := enc.Close(); err != nil {
		return err
	}
	return os.WriteFile(graphFile(dir, config), text, 0o644)
}

// LoadGraph reads a committed graph.
func LoadGraph(dir, config string) (*Graph, error) {
	f, err := os.Open(graphFile(dir, config))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dec, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	text, err := io.ReadAll(dec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return FromText(text)
}

func graphFile(dir, config string) string { return filepath.Join(dir, "graphs", config+".txt.zst") }
