"""Classify CIFAR-10 from Pipe-mode TFRecords: a script as it was written for TensorFlow 2.8."""

import argparse
import os

import tensorflow as tf
from sagemaker_tensorflow import PipeModeDataset
from tensorflow.keras.layers import Activation, Conv2D, Dense, Flatten, MaxPooling2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import Adam

SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def parse(serialized):
    """One Example to pixels of 0 to 1 and a one-hot label."""
    features = tf.io.parse_single_example(serialized, SCHEMA)
    image = tf.io.decode_raw(features["image"], tf.uint8)
    image.set_shape([32 * 32 * 3])
    image = tf.cast(tf.reshape(image, [32, 32, 3]), tf.float32) / 255.0
    return image, tf.one_hot(tf.cast(features["label"], tf.int32), 10)


def read(channel, epochs, batch_size):
    """All epochs of a channel as one data set."""
    dataset = PipeModeDataset(channel=channel, record_format="TFRecord")
    dataset = dataset.map(parse, num_parallel_calls=10)
    dataset = dataset.prefetch(10)
    dataset = dataset.repeat(epochs)
    dataset = dataset.shuffle(buffer_size=10 * batch_size)
    return dataset.batch(batch_size, drop_remainder=True)


def main():
    """Train and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--model-output", default=os.environ.get("SM_MODEL_DIR"))
    args, _ = parser.parse_known_args()

    model = Sequential()
    model.add(Conv2D(16, (3, 3), padding="same", name="inputs", input_shape=(32, 32, 3)))
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(4, 4)))
    model.add(Flatten())
    model.add(Dense(10))
    model.add(Activation("softmax"))
    model.compile(loss="categorical_crossentropy", optimizer=Adam(lr=args.learning_rate), metrics=["accuracy"])
    # Each data set holds all epochs already, so one pass of fit is all of them.
    model.fit(
        x=read("train", args.epochs, args.batch_size),
        epochs=1,
        validation_data=read("validation", 1, args.batch_size),
    )
    model.save(args.model_output + "/1")


if __name__ == "__main__":
    main()
