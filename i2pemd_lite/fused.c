/* The two passes of fused.py over the voxels of one sample, in float32, compiled for K classes (-DK=5).

   C99 with the vector types that gcc and clang share. Voxels go through in blocks that stay in the first-level cache;
   a block is summed in float32, a sample in double. From `read_labels` on, -1 is a label that does not count. */

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define BLOCK (16 * LANES)

typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

typedef struct {
    int64_t class_stride, voxel_stride, label_stride, label_bytes, ignore, gradient_class_stride, gradient_voxel_stride;
} Layout;

#define AT(array, row, j) (*(Floats *)((array) + (row) * BLOCK + (j)))

static inline Floats where(Ints mask, Floats value) { return (Floats)(mask & (Ints)value); }
static inline Floats all(float value) { return value - (Floats){0}; }

static inline float sum(Floats v)
{
    float total = 0.0f;
    for (int l = 0; l < LANES; l++) total += v[l];
    return total;
}

/* exp(x) for x <= 0 as 2^(n + f), |f| <= 1/2, and 0 below -80. Error < 2e-7, relative to the largest of a voxel. */
static inline Floats exp_negative(Floats x)
{
    Floats t = x * 1.44269504f, shifted = t + 12582912.0f; /* adding 1.5 * 2^23 rounds to a whole number n */
    Floats f = t - (shifted - 12582912.0f);
    Floats e = f * 1.5353362e-4f + 1.3398874e-3f;
    e = e * f + 9.6184374e-3f;
    e = e * f + 5.5503325e-2f;
    e = e * f + 2.4022648e-1f;
    e = e * f + 6.9314720e-1f;
    e = e * f + 1.0f;
    return where(~(x < -80.0f), (Floats)((Ints)e + ((Ints)shifted << 23))); /* n goes into the exponent's bits */
}

/* log(s) for s >= 1 as n ln 2 + log(m), m in [1/sqrt 2, sqrt 2). Error < 2e-7. */
static inline Floats log_positive(Floats s)
{
    Ints n = ((Ints)s - 0x3f3504f3) >> 23;
    Floats e = __builtin_convertvector(n, Floats);
    Floats x = (Floats)((Ints)s - (n << 23)) - 1.0f;
    Floats y = x * 7.0376836292e-2f - 1.1514610310e-1f;
    y = y * x + 1.1676998740e-1f;
    y = y * x - 1.2420140846e-1f;
    y = y * x + 1.4249322787e-1f;
    y = y * x - 1.6668057665e-1f;
    y = y * x + 2.0000714765e-1f;
    y = y * x - 2.4999993993e-1f;
    y = y * x + 3.3333331174e-1f;
    y = (y * x - 0.5f) * x * x - e * 2.12194440e-4f;
    y = x + y + e * 0.693359375f;
    return (Floats)((Ints)y | (s != s)); /* not a number stays so */
}

/* z <- z - max z; p <- softmax z; returns sum exp z. */
static inline Floats softmax(Floats z[K], Floats p[K])
{
    Floats top = z[0], total = {0};
    for (int i = 1; i < K; i++) {
        Ints above = z[i] > top;
        top = (Floats)((above & (Ints)z[i]) | (~above & (Ints)top));
    }
    for (int i = 0; i < K; i++) {
        z[i] -= top;
        p[i] = exp_negative(z[i]);
        total += p[i];
    }
    Floats inverse = 1.0f / total;
    for (int i = 0; i < K; i++) p[i] *= inverse;
    return total;
}

/* The labels of n voxels; returns how many are neither a class nor ignored. */
static int read_labels(const void *labels, int64_t start, int n, const Layout *layout, int32_t *y)
{
    int bad = 0;
    int64_t step = layout->label_stride, ignore = layout->ignore;
#define READ(TYPE, STEP)                                            \
    for (int j = 0; j < n; j++) {                                   \
        int64_t label = ((const TYPE *)labels)[(start + j) * STEP]; \
        int is_class = (uint64_t)label < K, counts = label != ignore; \
        y[j] = is_class & counts ? (int32_t)label : -1;             \
        bad += counts & (is_class ^ 1);                             \
    }
    if (layout->label_bytes == 1) READ(uint8_t, step)
    else if (step == 1) READ(int64_t, 1)
    else READ(int64_t, step)
    for (int j = n; j < BLOCK; j++) y[j] = -1;
    return bad;
}

/* K rows of n logits; the rest of a last block is 0. */
static void read_logits(const float *logits, int64_t start, int n, const Layout *layout, float *z)
{
    int64_t step = layout->voxel_stride;
    for (int i = 0; i < K; i++) {
        const float *from = logits + i * layout->class_stride + start * step;
        float *to = z + i * BLOCK;
        if (step == 1) memcpy(to, from, n * sizeof(float));
        else for (int j = 0; j < n; j++) to[j] = from[j * step];
        for (int j = n; j < BLOCK; j++) to[j] = 0.0f;
    }
}

static void write_gradient(float *gradient, int64_t start, int n, const Layout *layout, const float *z)
{
    int64_t step = layout->gradient_voxel_stride;
    for (int i = 0; i < K; i++) {
        float *to = gradient + i * layout->gradient_class_stride + start * step;
        const float *from = z + i * BLOCK;
        if (step == 1) memcpy(to, from, n * sizeof(float));
        else for (int j = 0; j < n; j++) to[j * step] = from[j];
    }
}

/* Adds counts[k], nll[k], mass[k][i] and squares[i] of voxels start to end; returns how many labels are bad. */
int64_t statistics(const float *logits, const void *labels, int64_t start, int64_t end, const Layout *layout,
                   double *counts, double *nll, double *mass, double *squares)
{
    float block[K * BLOCK], loss[BLOCK];
    int32_t y[BLOCK];
    int64_t bad = 0;
    for (; start < end; start += BLOCK) {
        int n = end - start < BLOCK ? (int)(end - start) : BLOCK;
        bad += read_labels(labels, start, n, layout, y);
        read_logits(logits, start, n, layout, block);
        Floats square[K] = {{0}};
        for (int j = 0; j < BLOCK; j += LANES) {
            Floats z[K], p[K], z_y = {0};
            Ints label = *(Ints *)(y + j);
            for (int i = 0; i < K; i++) z[i] = AT(block, i, j);
            Floats total = softmax(z, p);
            for (int i = 0; i < K; i++) {
                z_y += where(label == i, z[i]);
                square[i] += where(label >= 0, p[i] * p[i]);
                AT(block, i, j) = p[i];
            }
            AT(loss, 0, j) = log_positive(total) - z_y;
        }
        for (int i = 0; i < K; i++) squares[i] += sum(square[i]);
        for (int k = 0; k < K; k++) {
            int count = 0;
            for (int j = 0; j < BLOCK; j++) count += y[j] == k;
            if (!count) continue;
            Floats nll_k = {0}, mass_k[K] = {{0}};
            for (int j = 0; j < BLOCK; j += LANES) {
                Ints here = *(Ints *)(y + j) == k;
                nll_k += where(here, AT(loss, 0, j));
                for (int i = 0; i < K; i++) mass_k[i] += where(here, AT(block, i, j));
            }
            counts[k] += count;
            nll[k] += sum(nll_k);
            for (int i = 0; i < K; i++) mass[k * K + i] += sum(mass_k[i]);
        }
    }
    return bad;
}

/* dL/dz_j = p_j (a_j - sum_i p_i a_i + c) - [j = y] c  with  a_i = g_mass[y][i] + 2 g_squares[i] p_i,  c = g_nll[y]. */
void gradient(const float *logits, const void *labels, int64_t start, int64_t end, const Layout *layout,
              const float *g_nll, const float *g_mass, const float *g_squares, float *gradient)
{
    float block[K * BLOCK];
    int32_t y[BLOCK];
    for (; start < end; start += BLOCK) {
        int n = end - start < BLOCK ? (int)(end - start) : BLOCK;
        read_labels(labels, start, n, layout, y);
        read_logits(logits, start, n, layout, block);
        for (int j = 0; j < BLOCK; j += LANES) {
            Floats z[K], p[K], a[K], c = {0}, mean = {0};
            Ints label = *(Ints *)(y + j);
            for (int i = 0; i < K; i++) z[i] = AT(block, i, j);
            softmax(z, p);
            for (int i = 0; i < K; i++) a[i] = where(label >= 0, 2.0f * g_squares[i] * p[i]);
            for (int k = 0; k < K; k++) {
                Ints here = label == k;
                c += where(here, all(g_nll[k]));
                for (int i = 0; i < K; i++) a[i] += where(here, all(g_mass[k * K + i]));
            }
            for (int i = 0; i < K; i++) mean += p[i] * a[i];
            for (int i = 0; i < K; i++) AT(block, i, j) = where(label >= 0, p[i] * (a[i] - mean + c)) - where(label == i, c);
        }
        write_gradient(gradient, start, n, layout, block);
    }
}
