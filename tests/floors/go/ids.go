package main

import (
	"crypto/sha256"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// uuid is a UUID in MongoDB.
type uuid [16]byte

func (id uuid) binary() bson.Binary {
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: id[:]}
}

func uuidOf(binary bson.Binary) uuid {
	var id uuid
	copy(id[:], binary.Data)
	return id
}

// derived makes a UUIDv8 of a SHA-256.
func derived(parts ...[]byte) uuid {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(part)
	}
	var id uuid
	copy(id[:], hash.Sum(nil))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}

const base32 = "0123456789abcdefghjkmnpqrstvwxyz"

// typed writes an ID as a TypeID.
func (id uuid) typed(kind string) string {
	var text [26]byte
	var bits uint32
	// 26 characters have 130 bits: two zeros come first.
	count, next := 2, 0
	for place := range text {
		for count < 5 {
			bits, count, next = bits<<8|uint32(id[next]), count+8, next+1
		}
		count -= 5
		text[place] = base32[bits>>count&31]
	}
	return kind + "_" + string(text[:])
}

// parseTyped reads a TypeID of this kind.
func parseTyped(kind, text string) (uuid, error) {
	var id uuid
	wrong := errors.New("must be an ID of type " + kind)
	digits, is := strings.CutPrefix(text, kind+"_")
	if !is || len(digits) != 26 || digits[0] > '7' {
		return id, wrong
	}
	var bits uint32
	count, next := -2, 0
	for _, digit := range []byte(digits) {
		value := strings.IndexByte(base32, digit)
		if value < 0 {
			return id, wrong
		}
		bits, count = bits<<5|uint32(value), count+5
		if count >= 8 {
			count -= 8
			id[next], next = byte(bits>>count), next+1
		}
	}
	return id, nil
}
