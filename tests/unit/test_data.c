#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/data.h"
#include "fanin/format.h"
#include "testing.h"

static fanin_dataset *open_set(const char *text, uint64_t seed) {
    fanin_dataset *d;
    fanin_err err = {0};
    assert_ok_err(fanin_dataset_open(text, seed, &d, &err), err);
    return d;
}

/* Priors 1/6, 1/9, 1/18 (three of each): z-tests of nine shares at family-wise alpha 1e-4, z = 4.4. Pairs lose
 * what 50 rejections turn back into single objects, far below the standard error. */
TEST(shapeset_classes_have_their_priors) {
    enum { N = 20000 };
    fanin_dataset *d = open_set("shapeset", 7);
    float *x = malloc(1024 * sizeof *x);
    int64_t label;
    double counts[9] = {0};
    for (uint64_t i = 0; i < N; i++) {
        assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, &i, 1, x, &label, NULL));
        assert_true(label >= 0 && label < 9);
        counts[label]++;
    }
    const double prior[9] = {1.0 / 6, 1.0 / 6,  1.0 / 6,  1.0 / 9, 1.0 / 9,
                             1.0 / 9, 1.0 / 18, 1.0 / 18, 1.0 / 18};
    for (int c = 0; c < 9; c++)
        assert_near(counts[c] / N, prior[c], 4.4 * sqrt(prior[c] * (1 - prior[c]) / N), 0);
    free(x);
    fanin_dataset_close(d);
}

static void pixel_moments(const char *text, double *mean, double *second) {
    enum { N = 5000 };
    fanin_dataset *d = open_set(text, 0);
    float *x = malloc(1024 * sizeof *x);
    int64_t label;
    *mean = *second = 0;
    for (uint64_t i = 0; i < N; i++) {
        assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, &i, 1, x, &label, NULL));
        for (int k = 0; k < 1024; k++) {
            *mean += (double)x[k] / (N * 1024.0);
            *second += (double)x[k] * (double)x[k] / (N * 1024.0);
        }
    }
    free(x);
    fanin_dataset_close(d);
}

/* Pixel statistics of the author's generator: .003 and .367 in [-1, 1], .50 and .343 in [0, 1]. An image's mean has a
 * standard deviation of about 0.5, so 5000 of them 0.007: tolerance 4.5 of these. */
TEST(shapeset_pixels_have_the_published_moments) {
    double mean, second;
    pixel_moments("shapeset", &mean, &second);
    assert_near(mean, 0.003, 0.032, 0);
    assert_near(second, 0.367, 0.012, 0);
    pixel_moments("shapeset:neg=0", &mean, &second);
    assert_near(mean, 0.50, 0.016, 0);
    assert_near(second, 0.343, 0.016, 0);
}

/* Two grey levels at least, both palettes apart: a shape is there in every image, inside the 1-pixel margin. */
TEST(shapeset_draws_inside_the_margin) {
    fanin_dataset *d = open_set("shapeset", 3);
    float x[1024];
    int64_t label;
    for (uint64_t i = 0; i < 500; i++) {
        assert_ok(fanin_dataset_samples(d, FANIN_TEST, &i, 1, x, &label, NULL));
        int painted = 0;
        for (int k = 0; k < 1024; k++) {
            bool border = k < 32 || k >= 992 || k % 32 == 0 || k % 32 == 31;
            if (border) assert_true(x[k] == x[0]);
            painted += x[k] != x[0];
        }
        assert_true(painted >= 5 && painted < 900);
    }
    fanin_dataset_close(d);
}

TEST(samples_have_an_address) {
    fanin_dataset *d = open_set("shapeset", 1);
    float a[3 * 1024], b[1024];
    int64_t la[3], lb;
    const uint64_t index[3] = {5, 1000000007, 5};
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, index, 3, a, la, NULL));
    assert_memory_equal(a, a + 2048, sizeof b);
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, index + 1, 1, b, &lb, NULL));
    assert_memory_equal(a + 1024, b, sizeof b);
    assert_ok(fanin_dataset_samples(d, FANIN_TEST, index, 1, b, &lb, NULL));
    assert_memory_not_equal(a, b, sizeof b);
    fanin_dataset_close(d);
}

TEST(xor_is_parity) {
    fanin_dataset *d = open_set("xor:bits=3", 0);
    assert_int_equal(fanin_dataset_get_info(d)->train_count, 8);
    for (uint64_t i = 0; i < 8; i++) {
        float x[3];
        int64_t t;
        assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, &i, 1, x, &t, NULL));
        assert_int_equal(t, ((int)x[0] + (int)x[1] + (int)x[2]) % 2);
    }
    fanin_dataset_close(d);
}

/* 20 000 samples of two classes in one dimension: the class means differ by the distance of the centres, each with a
 * spread of 0.5 / sqrt(10 000) = 0.005. */
TEST(blobs_have_centres) {
    fanin_dataset *d = open_set("blobs:in=1,classes=2,std=0.5", 3);
    double sum[2] = {0}, squares[2] = {0}, n[2] = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        float x;
        int64_t c;
        assert_ok(fanin_dataset_samples(d, i % 2 ? FANIN_TRAIN : FANIN_TEST, &i, 1, &x, &c, NULL));
        assert_true(c == 0 || c == 1);
        sum[c] += (double)x;
        squares[c] += (double)x * (double)x;
        n[c]++;
    }
    assert_near(n[0] / 20000, 0.5, 0.02, 0);
    for (int c = 0; c < 2; c++) {
        double mean = sum[c] / n[c];
        assert_near(sqrt(squares[c] / n[c] - mean * mean), 0.5, 0.02,
                    0); /* 5 sigma of a deviation */
    }
    assert_true(fabs(sum[0] / n[0] - sum[1] / n[1]) > 0.05);
    fanin_dataset_close(d);
}

TEST(bad_names_are_told) {
    fanin_dataset *d;
    fanin_err err = {0};
    assert_int_equal(fanin_dataset_open("nonsense", 0, &d, &err), FANIN_NOTFOUND);
    assert_non_null(strstr(err.message, "shapeset"));
    assert_int_equal(fanin_dataset_open("xor:bits=99", 0, &d, &err), FANIN_ARG);
    assert_int_equal(fanin_dataset_open("shapeset:colour=1", 0, &d, &err), FANIN_ARG);
    assert_null(d);
}

/* Counts and pixel statistics that the data set's own documentation gives. */
TEST(mnist_is_mnist) {
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_shared("data/mnist/train-images-idx3-ubyte.gz"));
    *strstr(dir, "/mnist/") = '\0';
    setenv("FANIN_DATA", dir, 1);
    fanin_dataset *d = open_set("mnist", 0);
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    assert_int_equal(info->train_count, 60000);
    assert_int_equal(info->test_count, 10000);
    const int counts[10] = {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009};
    int seen[10] = {0};
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        float x[784];
        int64_t t;
        assert_ok(fanin_dataset_samples(d, FANIN_TEST, &i, 1, x, &t, NULL));
        seen[t]++;
        for (int k = 0; k < 784; k++) {
            sum += (double)x[k];
            squares += (double)x[k] * (double)x[k];
        }
    }
    for (int c = 0; c < 10; c++) assert_int_equal(seen[c], counts[c]);
    double mean = sum / 7840000;
    assert_near(mean, 0.13251, 1e-5, 0);
    assert_near(sqrt(squares / 7840000 - mean * mean), 0.31048, 1e-5, 0);
    fanin_dataset_close(d);
}

static void write_file(const char *name, const void *data, size_t size) {
    fanin_err err = {0};
    assert_ok_err(fanin__file_write(test_tmp(name), data, size, &err), err);
}

TEST(broken_idx_files_are_told) {
    fanin_err err = {0};
    fanin_dataset *d;
    assert_ok_err(fanin_directory_create(test_tmp("mnist"), &err), err);
    setenv("FANIN_DATA", test_tmp(""), 1);
    static const unsigned char short_file[] = {0, 0,  8, 3, 0, 0,  0, 2, 0, 0,
                                               0, 28, 0, 0, 0, 28, 1, 2, 3};
    write_file("mnist/train-images-idx3-ubyte", short_file, sizeof short_file);
    assert_int_equal(fanin_dataset_open("mnist", 0, &d, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "train-images-idx3-ubyte"));
    static const unsigned char broken_gzip[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3};
    remove(test_tmp("mnist/train-images-idx3-ubyte"));
    write_file("mnist/train-images-idx3-ubyte.gz", broken_gzip, sizeof broken_gzip);
    assert_int_equal(fanin_dataset_open("mnist", 0, &d, &err), FANIN_FORMAT);
}

TEST(arrays_make_a_data_set) {
    const float x[] = {1, 2, 3, 4, 5, 6};
    const int64_t t[] = {0, 1, 2};
    fanin_array a = {
        .name = "", .dtype = FANIN_F32, .rank = 2, .dims = {3, 2}, .data = x, .size = sizeof x};
    fanin_array b = {
        .name = "", .dtype = FANIN_I64, .rank = 1, .dims = {3}, .data = t, .size = sizeof t};
    fanin_err err = {0};
    assert_ok_err(fanin_npy_save(test_tmp("x.npy"), &a, &err), err);
    assert_ok_err(fanin_npy_save(test_tmp("t.npy"), &b, &err), err);
    char text[8192];
    snprintf(text, sizeof text, "%s,%s", test_tmp("x.npy"), test_tmp("t.npy"));
    fanin_dataset *d = open_set(text, 0);
    assert_int_equal(fanin_dataset_get_info(d)->classes, 3);
    float got[2];
    int64_t label;
    const uint64_t two = 2, three = 3;
    assert_ok(fanin_dataset_samples(d, FANIN_TEST, &two, 1, got, &label, NULL));
    assert_true(got[0] == 5 && got[1] == 6 && label == 2);
    assert_int_equal(fanin_dataset_samples(d, FANIN_TEST, &three, 1, got, &label, &err), FANIN_ARG);
    fanin_dataset_close(d);
}
