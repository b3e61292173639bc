/* png.h - a picture of float tiles, saved as PNG without any library.
 *
 *     png_image p;
 *     if (!png_create(&p, 640, 480)) return 1;
 *     png_tile(&p, 8, 8, values, 28, 28, 4, 0);    28 x 28 floats, each a square of 4 x 4 pixels
 *     if (!png_save(&p, "picture.png")) ...
 *     png_free(&p);
 *
 * The file is one deflate block with the fixed Huffman code (RFC 1951, 3.2.6) whose only matches
 * repeat the pixel before: little code, and enlarged tiles shrink well.
 */
#ifndef PNG_H
#define PNG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_image {
    int width, height;
    unsigned char *pixels;          /* [height, width, 3] */
} png_image;

/* A picture in dark grey; 0 when a side is outside 1..16384 or memory is out. */
static inline int png_create(png_image *p, int width, int height)
{
    p->pixels = NULL;
    if (width < 1 || height < 1 || width > 16384 || height > 16384) return 0;
    p->width = width;
    p->height = height;
    p->pixels = (unsigned char *)malloc((size_t)width * (size_t)height * 3);
    if (p->pixels) memset(p->pixels, 0x30, (size_t)width * (size_t)height * 3);
    return p->pixels != NULL;
}

static inline void png_free(png_image *p)
{
    free(p->pixels);
    p->pixels = NULL;
}

static inline void png_rectangle(png_image *p, int left, int top, int size,
                                 const unsigned char color[3])
{
    for (int y = top < 0 ? 0 : top; y < top + size && y < p->height; y++) {
        for (int x = left < 0 ? 0 : left; x < left + size && x < p->width; x++) {
            memcpy(p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x), color, 3);
        }
    }
}

/* values [h, w] in squares of `enlarge` pixels, stretched to the whole contrast: from black to
 * white, or, when `with_sign`, negative ones blue, zero white, positive ones red. What lies outside
 * the picture is cut off. */
static inline void png_tile(png_image *p, int left, int top, const float *values, int h, int w,
                            int enlarge, int with_sign)
{
    float low = values[0], high = values[0], largest;
    for (int i = 1; i < h * w; i++) {
        if (values[i] < low) low = values[i];
        if (values[i] > high) high = values[i];
    }
    largest = high > -low ? high : -low;
    for (int i = 0; i < h * w; i++) {
        const float range = with_sign ? largest : high - low;
        const float v = range > 0 ? (with_sign ? values[i] : values[i] - low) / range : 0;
        const unsigned char pale = (unsigned char)(255 * (v < 0 ? 1 + v : 1 - v));
        unsigned char color[3];
        color[0] = with_sign && v > 0 ? 255 : pale;
        color[1] = pale;
        color[2] = with_sign && v < 0 ? 255 : pale;
        if (!with_sign) memset(color, 255 - pale, 3);
        png_rectangle(p, left + i % w * enlarge, top + i / w * enlarge, enlarge, color);
    }
}

/* Bytes and bits behind each other; whoever writes has made the buffer large enough. */
typedef struct png_writer {
    unsigned char *bytes;
    size_t count;
    uint32_t bits;
    int bit_count;
} png_writer;

static inline void png_put32(png_writer *w, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        w->bytes[w->count++] = (unsigned char)(value >> shift);
}

static inline void png_put_bits(png_writer *w, uint32_t value, int count)
{
    w->bits |= value << w->bit_count;
    for (w->bit_count += count; w->bit_count >= 8; w->bit_count -= 8, w->bits >>= 8) {
        w->bytes[w->count++] = (unsigned char)w->bits;
    }
}

/* A Huffman code goes out with its highest bit first. */
static inline void png_put_code(png_writer *w, uint32_t code, int count)
{
    for (int i = count - 1; i >= 0; i--) png_put_bits(w, code >> i & 1, 1);
}

static inline void png_put_symbol(png_writer *w, int symbol)
{
    if (symbol < 144) png_put_code(w, (uint32_t)(0x30 + symbol), 8);
    else if (symbol < 256) png_put_code(w, (uint32_t)(0x190 + symbol - 144), 9);
    else if (symbol < 280) png_put_code(w, (uint32_t)(symbol - 256), 7);
    else png_put_code(w, (uint32_t)(0xC0 + symbol - 280), 8);
}

/* zlib stream (RFC 1950). Matches: distance 3, lengths 3..10 (symbols 257..264) and 258 (symbol
 * 285). */
static inline void png_deflate(png_writer *w, const unsigned char *data, size_t count)
{
    uint32_t a = 1, b = 0;
    size_t i = 0;
    w->bytes[w->count++] = 0x78;
    w->bytes[w->count++] = 0x01;
    png_put_bits(w, 3, 3);                              /* last block, fixed code */
    while (i < count) {
        size_t run = 0;
        while (i >= 3 && run < 258 && i + run < count && data[i + run] == data[i + run - 3]) run++;
        if (run < 3) {
            png_put_symbol(w, data[i++]);
            continue;
        }
        if (run > 10 && run < 258) run = 10;
        png_put_symbol(w, run == 258 ? 285 : 254 + (int)run);
        png_put_code(w, 2, 5);
        i += run;
    }
    png_put_symbol(w, 256);
    png_put_bits(w, 0, 7);                              /* fills the last byte */
    for (i = 0; i < count; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    png_put32(w, b << 16 | a);
}

/* Ends the chunk whose type stands at `start`: its length goes before, its checksum behind. */
static inline void png_end_chunk(png_writer *w, size_t start)
{
    const uint32_t length = (uint32_t)(w->count - start - 4);
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = start; i < w->count; i++) {
        crc ^= w->bytes[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    for (int i = 0; i < 4; i++)
        w->bytes[start - 4 + (size_t)i] = (unsigned char)(length >> (24 - 8 * i));
    png_put32(w, ~crc);
}

static inline size_t png_begin_chunk(png_writer *w, const char *type)
{
    png_put32(w, 0);
    memcpy(w->bytes + w->count, type, 4);
    w->count += 4;
    return w->count - 4;
}

/* Saves the picture; 0 when memory is out or the file cannot be written. A row is stored as its
 * difference to the one above. */
static inline int png_save(const png_image *p, const char *path)
{
    const size_t row = (size_t)p->width * 3;
    const size_t size = (row + 1) * (size_t)p->height;
    unsigned char *rows = (unsigned char *)malloc(size);
    png_writer w = { NULL, 0, 0, 0 };
    size_t chunk;
    FILE *file = NULL;
    int ok;
    w.bytes = (unsigned char *)malloc(size + size / 8 + 128);           /* at most 9 bits a byte */
    ok = rows && w.bytes && (file = fopen(path, "wb")) != NULL;
    if (ok) {
        for (size_t y = 0; y < (size_t)p->height; y++) {
            rows[y * (row + 1)] = y ? 2 : 0;
            for (size_t i = 0; i < row; i++) {
                const int above = y ? p->pixels[(y - 1) * row + i] : 0;
                rows[y * (row + 1) + 1 + i] = (unsigned char)(p->pixels[y * row + i] - above);
            }
        }
        memcpy(w.bytes, "\x89PNG\r\n\x1a\n", 8);
        w.count = 8;
        chunk = png_begin_chunk(&w, "IHDR");
        png_put32(&w, (uint32_t)p->width);
        png_put32(&w, (uint32_t)p->height);
        memcpy(w.bytes + w.count, "\x08\x02\0\0\0", 5);                 /* 8 bits, RGB */
        w.count += 5;
        png_end_chunk(&w, chunk);
        chunk = png_begin_chunk(&w, "IDAT");
        png_deflate(&w, rows, size);
        png_end_chunk(&w, chunk);
        png_end_chunk(&w, png_begin_chunk(&w, "IEND"));
        ok = fwrite(w.bytes, 1, w.count, file) == w.count;
    }
    if (file) ok = fclose(file) == 0 && ok;
    free(rows);
    free(w.bytes);
    return ok;
}

#endif
